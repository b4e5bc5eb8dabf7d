"""The facts: what may be written to the log. Imports nothing else of Norn's."""

from schemas.errors import (
    EventRefused,
    FutureStamp,
    NornError,
    PermanentError,
    TemporaryError,
    UndecodableEvent,
    UnknownFact,
)
from schemas.event import FACTS, decode, derived_id, event_id, fact_name, fact_of
from schemas.gen.norn.v1.costs_pb2 import CostSampled
from schemas.gen.norn.v1.decisions_pb2 import (
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
)
from schemas.gen.norn.v1.event_pb2 import Event
from schemas.gen.norn.v1.operations_pb2 import DeadLettered, WorkerStarted, WorkerStopped
from schemas.gen.norn.v1.players_pb2 import (
    FlagSet,
    GoldGained,
    GoldSpent,
    HealthChanged,
    ItemGained,
    ItemLost,
    ObjectiveCompleted,
    PlayerDied,
    PlayerLevelled,
    PlayerMoved,
    PlayerSaid,
    PlayerScored,
)
from schemas.gen.norn.v1.world_pb2 import ClockTicked, DepthReached, PlaceEntered
from schemas.topics import TIERS, TOPICS, Topic, topic_of

__all__ = [
    "FACTS",
    "TIERS",
    "TOPICS",
    "ClockTicked",
    "CostSampled",
    "DeadLettered",
    "DecisionEffective",
    "DecisionExpired",
    "DecisionProposed",
    "DecisionRejected",
    "DecisionRequested",
    "DepthReached",
    "Event",
    "EventRefused",
    "FlagSet",
    "FutureStamp",
    "GoldGained",
    "GoldSpent",
    "HealthChanged",
    "ItemGained",
    "ItemLost",
    "NornError",
    "ObjectiveCompleted",
    "PermanentError",
    "PlaceEntered",
    "PlayerDied",
    "PlayerLevelled",
    "PlayerMoved",
    "PlayerSaid",
    "PlayerScored",
    "TemporaryError",
    "Topic",
    "UndecodableEvent",
    "UnknownFact",
    "WorkerStarted",
    "WorkerStopped",
    "decode",
    "derived_id",
    "event_id",
    "fact_name",
    "fact_of",
    "topic_of",
]

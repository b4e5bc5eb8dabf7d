"""What a game server imports: Producer to publish facts, Decisions to act on what was decided."""

from streams.sdk.decisions import Decisions
from streams.sdk.outbox import BufferFull, Counters
from streams.sdk.producer import Producer
from streams.sdk.session import PartitionsDiffer
from streams.sdk.spill import SpillInUse, SpillUnreadable

__all__ = ["BufferFull", "Counters", "Decisions", "PartitionsDiffer", "Producer", "SpillInUse", "SpillUnreadable"]

"""What a game server imports: Producer to publish facts, Decisions to act on what was decided."""

from streams.sdk.arguments import ArgumentRefused
from streams.sdk.decisions import Decisions
from streams.sdk.forking import MadeBeforeFork
from streams.sdk.outbox import BufferFull, Counters
from streams.sdk.producer import Producer
from streams.sdk.session import PartitionsDiffer
from streams.sdk.spill import SpillInUse, SpillUnreadable

__all__ = [
    "ArgumentRefused",
    "BufferFull",
    "Counters",
    "Decisions",
    "MadeBeforeFork",
    "PartitionsDiffer",
    "Producer",
    "SpillInUse",
    "SpillUnreadable",
]

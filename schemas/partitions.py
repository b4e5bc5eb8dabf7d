"""Which partition a subject's events go to: Kafka's own murmur2, so that every client agrees."""

from __future__ import annotations

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """The 32-bit hash that Kafka's Java client partitions by (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(key)
    hashed = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        hashed = hashed * _M & _MASK ^ word
    if length != whole:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    hashed = (hashed ^ hashed >> 13) * _M & _MASK
    return hashed ^ hashed >> 15


def partition_of(subject: str, partitions: int) -> int:
    """The partition, 0..partitions-1, of a subject."""
    return (murmur2(subject.encode()) & 0x7FFFFFFF) % partitions

"""Partitions agree with Kafka's own clients."""

from __future__ import annotations

from collections import Counter

import pytest
from aiokafka.partitioner import murmur2 as kafkas_murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.partitions import murmur2, partition_of


@given(st.binary(max_size=64))
@example(b"")
@example(b"\xff\xff\xff\xff\xff")
def test_the_hash_is_kafkas(key: bytes) -> None:
    assert murmur2(key) == kafkas_murmur2(key) & 0xFFFFFFFF


# From Kafka's own org.apache.kafka.common.utils.UtilsTest, as signed 32-bit integers.
@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_the_hash_is_the_java_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 1000))
def test_a_subject_has_one_partition_among_those_there_are(subject: str, partitions: int) -> None:
    assert partition_of(subject, partitions) == (kafkas_murmur2(subject.encode()) & 0x7FFFFFFF) % partitions


def test_many_subjects_use_every_partition() -> None:
    used = Counter(partition_of(f"hero-{number}", 8) for number in range(4000))
    assert set(used) == set(range(8))
    assert max(used.values()) < 1.2 * min(used.values())

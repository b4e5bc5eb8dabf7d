"""Records framed for ClickHouse in one go: what is written in C is what is written in Python."""

from __future__ import annotations

import importlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.records import concatenate, framed, framed_in_python, log_fields

VALUES = st.lists(st.binary(max_size=300) | st.sampled_from([b"", b"x" * 127, b"y" * 16_384]), max_size=20)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_where_there_is_a_compiler_the_c_part_is_built() -> None:
    assert importlib.import_module("projections.native._frame").frame(b"\0\0\0\0", b"", b"", b"") == b""


@given(VALUES, st.text(max_size=20), st.integers(0, 300), st.data())
def test_a_stream_is_each_record_with_its_place_behind_its_length(
    values: list[bytes], topic: str, partition: int, data: st.DataObject
) -> None:
    numbers = [data.draw(st.integers(0, 2**63 - 1)) for _ in values]
    array, offsets = pa.array(values, pa.binary()), np.array(numbers, np.int64)
    located = log_fields(topic, partition)
    expected = concatenate(value + located(offset) for value, offset in zip(values, numbers, strict=True))
    assert framed(array, offsets, topic, partition) == expected
    assert framed_in_python(array, offsets, topic, partition) == expected


@given(VALUES, st.data())
def test_a_slice_is_framed_like_its_copy(values: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    part, offsets = pa.array(values, pa.binary()).slice(start, length), np.arange(len(values))[start : start + length]
    assert framed(part, offsets, "topic", 1) == framed_in_python(part, offsets, "topic", 1)


@pytest.mark.parametrize(("values", "offsets"), [([b"a", None], [1, 2]), ([b"a"], [1, 2]), ([b"a"], [])])
def test_each_record_has_a_value_and_an_offset(values: list[bytes | None], offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets"):
        framed(pa.array(values, pa.binary()), np.array(offsets, np.int64), "topic", 0)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
@pytest.mark.parametrize("ends", [[0, 9], [2, 1], [-1, 1], [0, 1, 1]])
def test_ends_that_lie_outside_the_bytes_are_refused(ends: list[int]) -> None:
    frame = importlib.import_module("projections.native._frame").frame
    with pytest.raises(ValueError, match=r"ends|bytes"):
        frame(np.array(ends, np.int32), b"abc", np.array([7], np.int64), b"")

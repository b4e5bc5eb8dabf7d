from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.records import Record, Records

TEXTS = st.none() | st.binary(max_size=20)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[list[Record], Records]:
    low = draw(st.integers(0, 2**40))
    offsets = sorted(low + step for step in draw(st.sets(st.integers(0, 60), max_size=20)))
    high = (offsets[-1] + 1 if offsets else low) + draw(st.integers(0, 5))
    records = [Record(offset, draw(st.integers(0, 2**42)), draw(TEXTS), draw(TEXTS)) for offset in offsets]
    return records, Records.of(records, low, high)


@given(stretches())
def test_columns_hold_the_records(stretch: tuple[list[Record], Records]) -> None:
    records, columns = stretch
    assert list(columns) == records
    assert [columns[index] for index in range(len(columns))] == records
    assert columns.passed == columns.high - columns.low - len(records)


@given(stretches(), st.integers(0, 70))
def test_a_stretch_is_cut_at_an_offset_and_joined_again(stretch: tuple[list[Record], Records], step: int) -> None:
    records, columns = stretch
    at = min(columns.low + step, columns.high)
    before, since = columns.before(at), columns.since(at)
    assert list(before) == [record for record in records if record.offset < at]
    assert list(since) == [record for record in records if record.offset >= at]
    assert (before.low, before.high, since.low, since.high) == (columns.low, at, at, columns.high)
    joined = Records.joined([before, since])
    assert (list(joined), joined.low, joined.high) == (records, columns.low, columns.high)


@given(stretches(), st.data())
def test_records_are_chosen_by_a_mask(stretch: tuple[list[Record], Records], data: st.DataObject) -> None:
    records, columns = stretch
    wanted = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    chosen = columns.where(np.array(wanted, dtype=bool))
    assert list(chosen) == [record for record, one in zip(records, wanted, strict=True) if one]
    assert (chosen.low, chosen.high) == (columns.low, columns.high)


@given(stretches(), st.integers(0, 25))
def test_the_first_records_end_where_the_next_begins(stretch: tuple[list[Record], Records], count: int) -> None:
    records, columns = stretch
    first = columns.first(count)
    assert list(first) == records[:count]
    assert first.high == (records[count].offset if count < len(records) else columns.high)

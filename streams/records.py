"""Records of the log in columns: offsets, append times, and one buffer each of keys and values; no object a record.

An object is made of a record only where one is needed by itself: to isolate it, or to keep it as a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Record(NamedTuple):
    """One record of a partition. `timestamp` is the broker's append time in Unix milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Records:
    """A stretch of one partition: its records, in the order of the log, and the offsets that it covers.

    `low` is the first offset covered and `high` the one after the last. Offsets between that hold no record here belong
    to control records, to records of aborted transactions, or to records that compaction has removed. `offsets` and
    `timestamps` (Unix milliseconds) have shape (n,); `keys` and `values` are Arrow arrays of binary, of length n, null
    where the record has none.
    """

    low: int
    high: int
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    keys: Any
    values: Any

    @classmethod
    def of(cls, records: Sequence[Any], low: int | None = None, high: int | None = None) -> Records:
        """Columns of records that are objects; without bounds they cover from the first record to the last."""
        count = len(records)
        if low is None:
            low = records[0].offset
        if high is None:
            high = records[-1].offset + 1 if count else low
        return cls(
            low,
            high,
            np.fromiter((record.offset for record in records), np.int64, count),
            np.fromiter((record.timestamp for record in records), np.int64, count),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
        )

    @classmethod
    def joined(cls, stretches: Sequence[Records]) -> Records:
        """Stretches of one partition that follow each other, as one. Raises ValueError without any."""
        if not stretches:
            raise ValueError("no stretches to join")
        if len(stretches) == 1:
            return stretches[0]
        return cls(
            stretches[0].low,
            stretches[-1].high,
            np.concatenate([each.offsets for each in stretches]),
            np.concatenate([each.timestamps for each in stretches]),
            pa.concat_arrays([each.keys for each in stretches]),
            pa.concat_arrays([each.values for each in stretches]),
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Record:
        key, value = self.keys[index].as_py(), self.values[index].as_py()
        return Record(int(self.offsets[index]), int(self.timestamps[index]), key, value)

    def __iter__(self) -> Iterator[Record]:
        columns = (self.offsets.tolist(), self.timestamps.tolist(), self.keys.to_pylist(), self.values.to_pylist())
        return map(Record._make, zip(*columns, strict=True))

    @property
    def passed(self) -> int:
        """How many of the offsets covered hold no record."""
        return self.high - self.low - len(self)

    def since(self, offset: int) -> Records:
        """The part from this offset on."""
        if offset <= self.low:
            return self
        start = int(np.searchsorted(self.offsets, offset, side="left"))
        return self._part(start, len(self), offset, max(self.high, offset))

    def before(self, offset: int) -> Records:
        """The part below this offset."""
        if offset >= self.high:
            return self
        stop = int(np.searchsorted(self.offsets, offset, side="left"))
        return self._part(0, stop, self.low, max(self.low, offset))

    def first(self, count: int) -> Records:
        """The first `count` records, and the offsets up to the next one."""
        return self if count >= len(self) else self.before(int(self.offsets[count]))

    def where(self, wanted: npt.NDArray[np.bool_]) -> Records:
        """The records that are wanted, of the same stretch. Shape (n,)."""
        if wanted.all():
            return self
        mask = pa.array(wanted)
        keys, values = self.keys.filter(mask), self.values.filter(mask)
        return Records(self.low, self.high, self.offsets[wanted], self.timestamps[wanted], keys, values)

    def at(self, offsets: Sequence[int]) -> Records:
        """The records at these offsets, which are in the order of the log, of the same stretch."""
        return self if len(offsets) == len(self) else self.where(np.isin(self.offsets, np.array(offsets, np.int64)))

    def after(self, earlier: Sequence[Record]) -> Records:
        """These records behind earlier ones, which stand before the offsets that are covered."""
        return self if not earlier else Records.joined([Records.of(earlier), self])

    def _part(self, start: int, stop: int, low: int, high: int) -> Records:
        keys, values = self.keys.slice(start, stop - start), self.values.slice(start, stop - start)
        return Records(low, high, self.offsets[start:stop], self.timestamps[start:stop], keys, values)

"""Decoding a batch of records natively into columns: only the fields that the projections use.

`ptars` walks the protobuf bytes once, in Rust, and builds Arrow arrays: about 2,000,000 events a second on a core,
where one Python object per event would allow a third of that before any work is done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import ptars
import pyarrow as pa
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool

from projections.limits import limits
from projections.projection import Projection, tables
from schemas import FACTS, Event, UndecodableEvent

# What the fold and the dots read of every event; its id too, where a projection has an entry for each event.
ENVELOPE = ("subject", "stamp", "region", "origin", "sequence")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of records as columns, and the names of the facts that any of them holds, used or not."""

    frame: pl.DataFrame
    facts: frozenset[str]
    #: The batch as it was decoded, with a column for every fact.
    batch: Any

    @property
    def stamps(self) -> npt.NDArray[np.uint64]:
        """The stamps. Shape (n,)."""
        return self.frame["stamp"].to_numpy()

    @property
    def sequences(self) -> npt.NDArray[np.uint64]:
        """The sequences. Shape (n,)."""
        return self.frame["sequence"].to_numpy()

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each holds a fact that this version of Norn knows. Shape (n,)."""
        return self.frame["known"].to_numpy()

    def facts_in(self, start: int, stop: int) -> frozenset[str]:
        """The names of the facts that records of this part of the batch hold."""
        parts = {fact: self.batch.column(fact).slice(start, stop - start) for fact in self.facts}
        return frozenset(fact for fact, part in parts.items() if part.null_count < len(part))


class Decoder:
    """Turns records into a frame with just the columns that are wanted."""

    def __init__(self, projections: Sequence[Projection], facts: Collection[str] | None = None) -> None:
        """facts: those of which every field but lists is read; otherwise it is what these projections read."""
        self._facts = _read(projections) if facts is None else {fact: _fields(fact) for fact in facts}
        keys = {field.path for table in tables(projections) for key in table.keys for field in key.fields}
        self._envelope = (*ENVELOPE, *(["id"] if "id" in keys else []))
        descriptor = _narrowed(self._envelope, self._facts)
        self._handler: Any = ptars.HandlerPool([descriptor.file]).get_for_message(descriptor)

    def columns(self, values: pa.BinaryArray | Sequence[bytes]) -> pl.DataFrame:
        """The frame of `decode`."""
        return self.decode(values).frame

    def decode(self, values: pa.BinaryArray | Sequence[bytes]) -> Decoded:
        """The values of records as a frame.

        Its columns are subject, stamp, region, origin, sequence, `known`, and a struct for each fact used. An Arrow
        array of binary is read where it lies; of a list, an array is made first.

        A fact's struct is null where the event holds another fact. `known` is false where it holds none that this
        version of Norn knows. Raises UndecodableEvent when any record is not an event, without saying which.
        """
        array = values if isinstance(values, pa.Array) else pa.array(values, pa.binary())
        if array.null_count:
            raise UndecodableEvent(f"{array.null_count} of {len(values)} records have no value, and so hold no event")
        try:
            batch: pa.RecordBatch = self._handler.array_to_record_batch(array)
        except ValueError as error:
            raise UndecodableEvent(f"one of {len(values)} records is not an Event: {error}") from None
        held = np.zeros(len(values), dtype=np.uint8)
        facts = frozenset(fact for fact in FACTS if batch.column(fact).null_count < len(values))
        for fact in facts:
            held += batch.column(fact).is_valid().to_numpy(zero_copy_only=False)
        if held.max(initial=0) > 1:
            raise UndecodableEvent(f"one of {len(values)} records holds two facts")
        frame = pl.from_arrow(batch.select([*self._envelope, *self._facts]))
        assert isinstance(frame, pl.DataFrame)
        return Decoded(frame.with_columns(known=pl.Series(held == 1)), facts, batch)


def _read(projections: Sequence[Projection]) -> dict[str, tuple[str, ...]]:
    """The fields that projections read, by fact."""
    read = limits(tables(projections))
    facts = dict.fromkeys(fact for projection in projections for fact in projection.facts)
    return {fact: tuple(limit.field.name for limit in read.get(fact, ())) for fact in facts}


def _fields(fact: str) -> tuple[str, ...]:
    """All fields of a fact but lists."""
    return tuple(field.name for field in FACTS[fact].DESCRIPTOR.fields if not field.is_repeated)


def _narrowed(envelope: Collection[str], facts: Mapping[str, tuple[str, ...]]) -> Descriptor:
    """Event's descriptor with only these fields of the envelope and of these facts, under the same numbers.

    Every other fact is left as bytes, so that whether it is there can be told without decoding it.
    """
    file = descriptor_pb2.FileDescriptorProto(name="norn/narrowed.proto", package="norn.narrowed", syntax="proto3")
    event = file.message_type.add(name="Event")
    event.oneof_decl.add(name="fact")
    for field in Event.DESCRIPTOR.fields:
        if field.containing_oneof is None:
            if field.name in envelope:
                event.field.add(name=field.name, number=field.number, type=_type(field.type), label=_SINGLE)
        elif field.name in facts:
            _add_fact(file, FACTS[field.name].DESCRIPTOR, facts[field.name])
            event.field.add(
                name=field.name,
                number=field.number,
                type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
                type_name=f".norn.narrowed.{FACTS[field.name].DESCRIPTOR.name}",
                label=_SINGLE,
                oneof_index=0,
            )
        else:
            event.field.add(
                name=field.name,
                number=field.number,
                type=descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
                label=_SINGLE,
                oneof_index=0,
            )
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    narrowed: Descriptor = pool.FindMessageTypeByName("norn.narrowed.Event")
    return narrowed


_SINGLE = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def _type(number: int) -> descriptor_pb2.FieldDescriptorProto.Type.ValueType:
    return descriptor_pb2.FieldDescriptorProto.Type.ValueType(number)


def _add_fact(file: descriptor_pb2.FileDescriptorProto, fact: Any, used: tuple[str, ...]) -> None:
    message = file.message_type.add(name=fact.name)
    for field in fact.fields:
        if field.name in used:
            message.field.add(name=field.name, number=field.number, type=_type(field.type), label=_SINGLE)

"""Older shapes of facts turned into today's, on the live path and on the rebuild path alike.

Facts only grow, and a field that is added is empty in older events; most growth needs nothing here. An upcast is for
a fact that was replaced by another, or whose new field can be worked out from its old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from schemas.event import fact_name, fact_of
from schemas.gen.norn.v1.event_pb2 import Event

#: A fact's name in Event's oneof, and the function that makes today's fact of it. None has been needed yet.
UPCASTS: Mapping[str, Callable[[Message], Message]] = {}


def upcast(event: Event, table: Mapping[str, Callable[[Message], Message]] = UPCASTS) -> Event:
    """The event with its fact in today's shape; the event itself when there is nothing to do.

    An upcast may lead to a fact that has an upcast of its own: each is applied at most once. The envelope, and so the
    event's dot and its id, stay as they were written. Raises UnknownFact when an upcast returns what is no fact.
    """
    # A worker asks this for every event it folds, so an empty table must cost no more than this look.
    if not table:
        return event
    applied: set[str] = set()
    name: str | None = event.WhichOneof("fact")
    while name is not None and name in table and name not in applied:
        applied.add(name)
        fact = table[name](fact_of(event))
        name = fact_name(fact)
        upcasted = Event()
        upcasted.CopyFrom(event)
        upcasted.ClearField("fact")
        target: Message = getattr(upcasted, name)
        target.CopyFrom(fact)
        # A fact whose fields are all zero is copied without a trace, and would leave the event with no fact at all.
        target.SetInParent()
        event = upcasted
    return event

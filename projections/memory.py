"""Memory: the reference. One event at a time, one key at a time, in plain immutable Python.

It is what the lattice laws are proved on and what every other face is compared with, so it shares nothing with them but
the declaration. It is not quick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from projections.crdt.crdt import State, merged
from projections.fields import reader
from projections.projection import Projection
from schemas import Event

Key = tuple[Any, ...]


@dataclass(frozen=True)
class KeyState:
    """All that is known about one key: the events folded by region, the greatest stamp, and each CRDT's state."""

    versions: tuple[tuple[str, int], ...]
    stamp: int | None
    crdts: tuple[State, ...]


class Memory:
    """The lattice of one projection."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.empty = KeyState((), None, tuple(() for _ in projection.crdts))
        self._crdts = tuple(projection.crdts.values())
        self._keys = {fact: reader([key.field(fact) for key in projection.keys]) for fact in projection.facts}

    def key(self, event: Event) -> Key:
        """The key that an event is about."""
        return self._keys[event.WhichOneof("fact") or ""](event)

    def fold(self, state: KeyState, event: Event) -> KeyState:
        """The state of the event's key after it, which must be new to it and of a fact that the projection uses."""
        fact = event.WhichOneof("fact")
        count = dict(state.versions).get(event.region, 0) + 1
        return KeyState(
            merged(state.versions, ((event.region, count),), max),
            max(state.stamp or 0, event.stamp),
            tuple(
                crdt.fold(held, event) if fact in crdt.facts else held
                for crdt, held in zip(self._crdts, state.crdts, strict=True)
            ),
        )

    def join(self, ours: KeyState, theirs: KeyState) -> KeyState:
        """The least upper bound of two states of one key."""
        return KeyState(
            merged(ours.versions, theirs.versions, max),
            max((stamp for stamp in (ours.stamp, theirs.stamp) if stamp is not None), default=None),
            tuple(c.join(a, b) for c, a, b in zip(self._crdts, ours.crdts, theirs.crdts, strict=True)),
        )

    def value(self, state: KeyState) -> dict[str, Any]:
        """What readers see, by column; a table of entries is a dictionary by entry."""
        found: dict[str, Any] = {}
        for (name, crdt), held in zip(self.projection.crdts.items(), state.crdts, strict=True):
            found |= crdt.value(name, held)
        return {
            **self.projection.shown(found),
            "version": sum(count for _, count in state.versions),
            "stamp": state.stamp,
        }

    def fold_all(self, events: Iterable[Event], states: Mapping[Key, KeyState] | None = None) -> dict[Key, KeyState]:
        """The states of all keys after these events; facts that the projection does not use are passed over."""
        found = dict(states or {})
        for event in events:
            if event.WhichOneof("fact") in self._keys:
                key = self.key(event)
                found[key] = self.fold(found.get(key, self.empty), event)
        return found

    def values(self, states: Mapping[Key, KeyState]) -> dict[Key, dict[str, Any]]:
        """What readers see of every key."""
        return {key: self.value(state) for key, state in states.items()}


def encode(state: KeyState) -> bytes:
    """A state as canonical bytes: equal states, and only those, have equal bytes."""
    parts = (state.versions, state.stamp, state.crdts)
    return json.dumps(parts, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def decode(data: bytes) -> KeyState:
    """The state of which these are the bytes."""
    versions, stamp, crdts = _tuples(json.loads(data))
    return KeyState(versions, stamp, crdts)


def digest(state: KeyState) -> str:
    """A fingerprint of a state, by which two replicas find out whether they agree. SHA-256, in hexadecimal."""
    return hashlib.sha256(encode(state)).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

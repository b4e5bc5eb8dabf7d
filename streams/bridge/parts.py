"""The parts of a body: its client, and each of its events read by itself, so that a bad one fails no neighbour.

Half an emoji, NaN, a number of 5,000 digits, a hundred thousand brackets: each is its own event's fault. A body is
malformed only where it cannot be told which event is which.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from schemas.gen.norn.v1.bridge_pb2 import DispatchedParts, OfferedEvent, OfferedNumber
from streams.bridge.wire import BATCH_EVENTS_MAX, OFFERED, SEQUENCE_MAX, Malformed, TooLarge

#: No field of a fact holds a longer number.
DIGITS_MAX = 40

_SHAPE = 'the body is an object {"client": "...", "events": [...]}'
_SPACE = re.compile(r"[ \t\n\r]*")
# What an event that cannot be read is made of; a quote that begins no text has no end.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{]+|[\]}]+|[,:]|[^\s"\[\]{},:]+|"', re.DOTALL)
_DIGITS = re.compile(r"[0-9]{1,19}")
# As protobuf's JSON has bytes: base64 in either alphabet, with its padding or without.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_FACT_KEYS = {OfferedEvent.DESCRIPTOR.fields_by_name[name].json_name for name in OFFERED} | set(OFFERED)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that cannot be read, and why; its number where that can be, else 0."""

    sequence: int
    detail: str


def parts_of_protobuf(body: bytes) -> tuple[str, list[bytes]]:
    """The client and the events of a DispatchRequest. Raises Malformed and TooLarge."""
    try:
        parts = DispatchedParts.FromString(body)
    except DecodeError as error:
        raise Malformed(f"the body is no norn.v1.DispatchRequest: {error}") from None
    if len(parts.events) > BATCH_EVENTS_MAX:
        raise TooLarge(f"a batch has at most {BATCH_EVENTS_MAX} events, not {len(parts.events)}: send several")
    return parts.client.decode(errors="replace"), list(parts.events)


def event_of_protobuf(part: bytes) -> OfferedEvent | Unreadable:
    """One event of a DispatchRequest."""
    try:
        return OfferedEvent.FromString(part)
    except DecodeError as error:
        return Unreadable(_numbered(part), f"the event is no norn.v1.OfferedEvent: {error}")


def _numbered(part: bytes) -> int:
    try:
        return _sequence(OfferedNumber.FromString(part).sequence)
    except DecodeError:
        return 0


def parts_of_json(body: bytes) -> tuple[Any, list[Any]]:
    """The client and the events of a body, each as JSON has it or Unreadable. Raises Malformed and TooLarge."""
    # Bytes that are no UTF-8 become halves of surrogate pairs: no event may hold one, so they are one event's fault.
    reader = _Reader(body.decode("utf-8", "surrogateescape"))
    said: dict[str, Any] = {}
    reader.expect("{")
    while True:
        name = reader.value()
        if name not in ("client", "events"):
            raise Malformed(f"a batch has client and events, not {name!s:.200}")
        if name in said:
            raise Malformed(f"a batch has one {name}, not two")
        reader.expect(":")
        said[name] = reader.events() if name == "events" else reader.value()
        if reader.took("}"):
            break
        reader.expect(",")
    reader.end()
    if "events" not in said:
        raise Malformed(_SHAPE)
    return said.get("client"), said["events"]


def event_of_json(part: Any) -> OfferedEvent | Unreadable:
    """One event of a body in JSON."""
    if isinstance(part, Unreadable):
        return part
    if not isinstance(part, dict):
        return Unreadable(0, f"an event is an object, not {type(part).__name__}")
    try:
        _check_kinds(part)
        return ParseDict(part, OfferedEvent())
    except Exception as error:  # protobuf's reader has many, SystemError for the name of a field among them
        return Unreadable(_sequence(part.get("sequence")), str(error))


def _check_kinds(part: dict[str, Any]) -> None:
    """Refuse what protobuf's reader takes for an empty fact, or makes another id of. Raises ValueError."""
    for name in part.keys() & _FACT_KEYS:
        if not isinstance(part[name], dict | None):
            raise ValueError(f"{name} is an object, not {type(part[name]).__name__}")
    cause = part.get("cause")
    if isinstance(cause, str) and not _BASE64.fullmatch(cause):
        raise ValueError("cause is the id of an event, 16 bytes as base64")


class _Reader:
    """Reads the outline of a batch, and each event's value at one go."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = _past_space(text, 0)

    def took(self, mark: str) -> bool:
        """Go past this mark, if it stands here."""
        here = self._text.startswith(mark, self._at)
        if here:
            self._at = _past_space(self._text, self._at + len(mark))
        return here

    def expect(self, mark: str) -> None:
        """Go past this mark. Raises Malformed."""
        if not self.took(mark):
            raise Malformed(f"{_SHAPE}; there is no {mark!r} at character {self._at}")

    def end(self) -> None:
        """Nothing more may come. Raises Malformed."""
        if self._at < len(self._text):
            raise Malformed(f"{_SHAPE}, and nothing after it; more follows at character {self._at}")

    def value(self) -> Any:
        """The value that stands here. Raises Malformed."""
        try:
            return self._value()
        except (ValueError, RecursionError) as error:
            raise Malformed(f"{_SHAPE}; {_why(error)}") from None

    def _value(self) -> Any:
        value, end = _DECODER.raw_decode(self._text, self._at)
        self._at = _past_space(self._text, end)
        return value

    def events(self) -> list[Any]:
        """The values of the list that stands here; Unreadable where there is none. Raises Malformed and TooLarge."""
        self.expect("[")
        found: list[Any] = []
        if self.took("]"):
            return found
        while True:
            # Looked at as they are read: a megabyte of commas is half a million events, and none of them is wanted.
            if len(found) == BATCH_EVENTS_MAX:
                raise TooLarge(f"a batch has at most {BATCH_EVENTS_MAX} events: send several")
            try:
                found.append(self._value())
            except (ValueError, RecursionError) as error:
                found.append(Unreadable(self._skip(), _why(error)))
            if self.took("]"):
                return found
            self.expect(",")

    def _skip(self) -> int:
        """Go past what cannot be read, to the comma or the bracket behind it; gives the number that it names."""
        start, depth = self._at, 0
        for token in _TOKEN.finditer(self._text, start):
            kind = token[0][0]
            if token[0] == '"':
                break
            if kind in "[{":
                depth += len(token[0])
            elif kind in "]}" and len(token[0]) <= depth:
                depth -= len(token[0])
            elif kind in "]}" or (kind == "," and not depth):
                self._at = token.start() + depth
                return _sequence_in(self._text[start : self._at])
        raise Malformed(f"{_SHAPE}; the event at character {start} has no end")


def _sequence_in(text: str) -> int:
    """The one number that an unreadable event names as its own, or 0."""
    found, depth, before = set(), 0, ("", "")
    for token in (match[0] for match in _TOKEN.finditer(text)):
        depth += len(token) if token[0] in "[{" else -len(token) if token[0] in "]}" else 0
        if depth == 1 and before == ('"sequence"', ":"):
            found.add(_sequence(token.strip('"')))
        before = (before[1], token)
    return found.pop() if len(found) == 1 else 0


def _sequence(said: Any) -> int:
    """The number of an event that cannot be read otherwise, so that its sender knows which it was."""
    if isinstance(said, str) and _DIGITS.fullmatch(said):
        said = int(said)
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said <= SEQUENCE_MAX else 0


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return made


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits)} digits is larger than any of a fact's")
    return int(digits)


def _finite(said: str) -> float:
    number = float(said)
    if not isfinite(number):
        raise ValueError(f"{said[:DIGITS_MAX]} is larger than any number of a fact's")
    return number


def _no_constant(said: str) -> NoReturn:
    raise ValueError(f"{said} is no number of JSON's, and a fact's numbers are finite")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_no_constant
)

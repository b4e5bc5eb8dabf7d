"""The dead-letter file: events that could not be sent, one to a line, in order, to be sent again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict, ParseDict

from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from streams.bridge.client.files import Appending, line, lines, record
from streams.bridge.client.ring import Entry

#: Spec A.12.
PATH = Path("log/ai_bridge_dlq.log")

_log = logging.getLogger(__name__)


def dead_letter(entry: Entry, reason: str, now_ms: int) -> bytes:
    """An event as a line of the file."""
    event = MessageToDict(entry.event, preserving_proto_field_name=True)
    return line({"client": entry.client, "event": event, "failed_ms": now_ms, "reason": reason})


def entry_of(found: dict[str, Any]) -> Entry | None:
    """The event of a line's record, or None when it holds none."""
    try:
        return Entry(str(found["client"]), 0, ParseDict(found["event"], OfferedEvent()))
    except (KeyError, TypeError, ValueError, AttributeError, JsonError):
        return None


def entries(path: Path, start: int = 0) -> Iterator[tuple[int, Entry | None]]:
    """The events of a file, each with where its line ends; None for a damaged line."""
    for end, text in lines(path, start):
        found = record(text)
        yield end, entry_of(found) if found else None


class DeadLetters:
    """First in, first out. Not thread-safe: the caller holds a lock."""

    def __init__(self, path: Path) -> None:
        self._file = Appending(path)
        # Where the first line begins that is not done with. What an earlier life had sent already is sent again: the
        # bridge knows it by its number.
        self._start = 0
        self._damaged = Appending(path.with_name(f"{path.name}.damaged"))
        #: How many events wait.
        self.waiting = sum(1 for _, entry in entries(path) if entry is not None)

    def append(self, failed: Iterable[Entry], reason: str, now_ms: int) -> None:
        """Write events behind the others; they survive a crash of the machine when this returns."""
        texts = [dead_letter(entry, reason, now_ms) for entry in failed]
        self._file.append(b"".join(texts), sync=True)
        self.waiting += len(texts)

    def peek(self, count: int) -> tuple[list[Entry], int]:
        """The next events, all of one client and at most `count`, and where their lines end."""
        found: list[Entry] = []
        end = self._start
        for place, text in lines(self._file.path, self._start):
            read = record(text)
            entry = entry_of(read) if read else None
            if found and (entry is None or entry.client != found[0].client or len(found) == count):
                return found, end
            end = place
            if entry is None:
                self._set_aside(text)
                self._start = end
            else:
                found.append(entry)
        return found, end

    def _set_aside(self, text: bytes) -> None:
        _log.error("a line of %s is damaged, and is kept in %s: %r", self._file.path, self._damaged.path, text[:80])
        self._damaged.append(text, sync=True)

    def settle(self, count: int, end: int) -> None:
        """Done with so many events, up to there; a file of which all is done with is emptied."""
        self._start = end
        self.waiting -= count
        if end >= self._file.size:
            self._file.clear()
            self._start = 0

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()
        self._damaged.close()

"""The journal: whatever a sidecar accepted stands here until it is sent or in the dead-letter file.

So a process that is killed loses nothing that `put` returned for, its next life goes on under the same name, and no
number is ever given twice.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from schemas.gen.norn.v1.bridge_pb2 import OfferedEvent
from streams.bridge.client.files import Appending, line, lines, record
from streams.bridge.client.ring import Entry

# Beyond this it is written anew with what still counts, which is at most a ring and a batch.
COMPACT_BYTES = 4 * 1024 * 1024


class Journal:
    """One client's name, its last number and its unsettled events. Not thread-safe: the caller holds a lock."""

    def __init__(self, path: Path, new_name: Callable[[], str], compact_bytes: int = COMPACT_BYTES) -> None:
        self._file = Appending(path)
        self._compact_bytes = compact_bytes
        self._unsettled: dict[int, tuple[int, OfferedEvent]] = {}
        self.client = ""
        self.last = 0
        for _, text in lines(path):
            self._read(record(text) or {})
        if not self.client:
            self.client = new_name()
            self.compact()

    def _read(self, found: dict[str, Any]) -> None:
        self.client = found.get("client", self.client)
        self.last = max(self.last, found.get("last", 0))
        for sequence in found.get("settled", ()):
            self._unsettled.pop(sequence, None)
        if "event" in found:
            try:
                event = OfferedEvent.FromString(base64.b64decode(found["event"]))
            except (DecodeError, binascii.Error):
                return
            self.last = max(self.last, event.sequence)
            self._unsettled[event.sequence] = (found.get("priority", 0), event)

    @property
    def unsettled(self) -> list[Entry]:
        """The events that were accepted and are neither sent nor in the dead-letter file, in their order."""
        return [Entry(self.client, priority, event) for _, (priority, event) in sorted(self._unsettled.items())]

    def accept(self, entry: Entry) -> None:
        """An event is accepted. Raises OSError, and then it is not."""
        self._file.append(_accepted(entry.priority, entry.event))
        self._unsettled[entry.sequence] = (entry.priority, entry.event)
        self.last = entry.sequence

    def settle(self, entries: Iterable[Entry]) -> None:
        """Events are sent, or in the dead-letter file."""
        sequences = [entry.sequence for entry in entries if entry.client == self.client]
        settled = [sequence for sequence in sequences if self._unsettled.pop(sequence, None) is not None]
        if settled:
            self._file.append(line({"settled": settled}))
        if self._file.size > self._compact_bytes:
            self.compact()

    def compact(self) -> None:
        """Write the file anew with what still counts."""
        kept = [_accepted(priority, event) for priority, event in self._unsettled.values()]
        self._file.replace(line({"client": self.client, "last": self.last}) + b"".join(kept))

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()


def _accepted(priority: int, event: OfferedEvent) -> bytes:
    return line({"event": base64.b64encode(event.SerializeToString()).decode(), "priority": priority})

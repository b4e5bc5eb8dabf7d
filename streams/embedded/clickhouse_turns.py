"""Who runs when: inserts, long queries and short ones each have room of their own, and a query ends with its client."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from streams.embedded.clickhouse_engine import error

log = logging.getLogger("clickhouse")


class Room(StrEnum):
    """What a statement takes a turn of."""

    #: Data from a client: history's, above all. Nothing that reads stands in its way.
    INSERTS = "inserts"
    QUERIES = "queries"
    #: Queries that only read, beside as many long ones as there may be; those that turn out long are ended.
    SHORT = "short queries"


#: Queries beyond what the cores can do side by side only share the engine's memory between more of them.
AT_ONCE = {Room.INSERTS: 16, Room.QUERIES: 16, Room.SHORT: 4}
#: How long a query waits for its turn before it is told that there are too many.
TURN_WITHIN_S = 30.0
#: What a query that only reads may take where there is room for short ones alone.
SHORT_S = 10.0
#: How soon a query is ended whose client has gone.
LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class Turn:
    """What something that runs takes up."""

    room: Room


class Turns:
    """Counts what runs, and lets the next begin when there is room."""

    def __init__(self) -> None:
        self._running = dict.fromkeys(Room, 0)
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, *rooms: Room) -> Iterator[Turn]:
        """A turn in the first of the rooms that has one free; raises EngineError when none has within the limit."""
        with self._changed:
            room = self._changed.wait_for(lambda: self._free(rooms), TURN_WITHIN_S)
            if room is None:
                raise too_many(f"{AT_ONCE[rooms[0]]} {rooms[0]} are running and none ended in {TURN_WITHIN_S:.0f} s")
            self._running[room] += 1
        turn = Turn(room)
        try:
            yield turn
        finally:
            with self._changed:
                self._running[turn.room] -= 1
                self._changed.notify_all()

    def lengthen(self, turn: Turn) -> bool:
        """Make a short query one of the long ones, where one more of them may be; gives whether that is so."""
        with self._changed:
            if self._free([Room.QUERIES]) is None:
                return False
            self._running[turn.room] -= 1
            self._running[Room.QUERIES] += 1
            turn.room = Room.QUERIES
            self._changed.notify_all()
            return True

    def all_ended(self, within_s: float) -> bool:
        """Wait until nothing runs; gives whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._running.values()), within_s)

    def _free(self, rooms: Sequence[Room]) -> Room | None:
        return next((room for room in rooms if self._running[room] < AT_ONCE[room]), None)


@dataclass(slots=True)
class Watched:
    """A running query that only reads."""

    #: What the engine knows it by.
    mark: str
    client: socket.socket
    ends_by: float
    #: Asked at that time: whether it may run on all the same.
    may_go_on: Callable[[], bool]
    #: Whether it was ended because it ran for too long.
    over: bool = False


class Watch:
    """Ends the queries whose clients have gone, and the short ones that are not; `kill` ends those of some marks.

    Only queries that read: what a client sent to be written is written, whether or not he waits for the answer.
    """

    def __init__(self, kill: Callable[[Sequence[str]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._kill = kill
        self._clock = clock
        self._watched: dict[str, Watched] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @contextmanager
    def over(
        self, mark: str, client: socket.socket, within_s: float, may_go_on: Callable[[], bool]
    ) -> Iterator[Watched]:
        """Watch a query for as long as it runs."""
        watched = Watched(mark, client, self._clock() + within_s, may_go_on)
        self._watched[mark] = watched
        try:
            yield watched
        finally:
            del self._watched[mark]

    def end_all(self) -> None:
        """End every query that is watched."""
        self._end([*self._watched.values()])

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            now = self._clock()
            watched = [*self._watched.values()]
            for late in (one for one in watched if one.ends_by <= now):
                late.over, late.ends_by = not late.may_go_on(), inf
            # Again at every look: a query that had only begun may not have been found the last time.
            self._end([one for one in watched if one.over or has_gone(one.client)])

    def _end(self, watched: Sequence[Watched]) -> None:
        if not watched:
            return
        try:
            self._kill([one.mark for one in watched])
        except Exception:
            log.exception("%d queries could not be ended; trying again", len(watched))


def has_gone(client: socket.socket) -> bool:
    """Whether the other end has closed its connection, without waiting or taking anything from it."""
    try:
        looking = select.poll()
        looking.register(client, select.POLLIN)
        return bool(looking.poll(0)) and client.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def too_many(sentence: str) -> Exception:
    """For a query that finds no room."""
    return error(202, f"{sentence}: try again", "TOO_MANY_SIMULTANEOUS_QUERIES")

"""Prefix: answers come in any order, but a position only moves over what has been answered without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from faust.types import TP

from streams.dead_letters import DeadLetter
from streams.positions import Move


@dataclass(slots=True)
class Piece:
    """Some records of one partition in a row, and how many of their events are not answered yet."""

    move: Move
    dead: list[DeadLetter]
    unanswered: int


class Prefix:
    """The pieces taken up and not stored, in the order of the log."""

    def __init__(self) -> None:
        self._pieces: dict[TP, deque[Piece]] = {}

    def add(self, move: Move, dead: list[DeadLetter], unanswered: int) -> Piece:
        """A piece that follows those of its partition that were added before."""
        piece = Piece(move, dead, unanswered)
        self._pieces.setdefault(move.tp, deque()).append(piece)
        return piece

    def pop(self) -> tuple[list[Move], list[DeadLetter]]:
        """Take out what is answered up to the first gap: a move for each partition, and what was not an event."""
        moves: list[Move] = []
        dead: list[DeadLetter] = []
        for pieces in self._pieces.values():
            done = []
            while pieces and not pieces[0].unanswered:
                done.append(pieces.popleft())
            if done:
                moves.append(_joined([piece.move for piece in done]))
                dead += [letter for piece in done for letter in piece.dead]
        return moves, dead

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return any(self._pieces.values())


def _joined(moves: Sequence[Move]) -> Move:
    """Moves that follow each other, as one."""
    first, last = moves[0], moves[-1]
    origins = {name: origin for move in moves for name, origin in move.origins.items()}
    return Move(
        first.tp,
        first.epoch,
        first.low,
        last.high,
        events=sum(move.events for move in moves),
        stamp=max(move.stamp for move in moves),
        origins=origins,
        passed=sum(move.passed for move in moves),
        appended_ms=max(move.appended_ms for move in moves),
        taken_up=tuple(offset for move in moves for offset in move.taken_up),
    )

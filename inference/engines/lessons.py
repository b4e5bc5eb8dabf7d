"""Fields that a server refused of an agent's requests, remembered for a while."""

from __future__ import annotations

from collections.abc import Collection

from inference.prompts import Prompt, canonical

# Long enough that a server which does not know a field refuses one call of an agent in ten minutes; short enough that a
# field which was refused by accident, or is known by now, is soon asked for again.
KEPT_S = 600.0
# Some agents' worth of fields many times over; the oldest give way.
LESSONS_MAX = 1_000


class Lessons:
    """Fields that are left out of requests, each for one agent and until a time."""

    def __init__(self) -> None:
        self._until_s: dict[tuple[str, str], float] = {}

    def left_out(self, subject: str, now_s: float) -> frozenset[str]:
        """The fields that an agent's requests are made without."""
        mine = ((field, until_s) for (whose, field), until_s in self._until_s.items() if whose == subject)
        return frozenset(field for field, until_s in mine if now_s < until_s)

    def learn(self, subject: str, fields: Collection[str], now_s: float) -> None:
        """These were refused, and without them the same request was not."""
        for field in fields:
            self._until_s.pop((subject, field), None)
            self._until_s[subject, field] = now_s + KEPT_S
        while len(self._until_s) > LESSONS_MAX:
            del self._until_s[next(iter(self._until_s))]


def subject_of(prompt: Prompt) -> str:
    """Whose request a prompt is: an agent's prompts have one system turn in common, and no two agents have the same."""
    first = prompt.turns[0] if prompt.turns else None
    return first.content if first is not None and first.role == "system" else canonical(prompt.schema)

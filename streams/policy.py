"""Policy: the declaration of one rule by which facts lead to facts. Everything in it is pure: no clock, no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from schemas import TOPICS, Event, Topic, fact_name

#: What a policy keeps from event to event: JSON values, each under a name. Values are replaced, never changed in place:
#: only those that are other objects than before are stored again.
State = Mapping[str, Any]
#: Whose fact it is, and the fact.
Said = tuple[str, Message]
#: What an event makes of a state, and what is said because of it.
Reaction = tuple[State, Sequence[Said]]

#: The subject of what concerns the whole world.
WORLD = "world"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy.

    reads: the facts it reacts to. react: from a state and an event to the next state and the facts that follow; a state
    begins empty. version: of the state's shape; when it is raised, `upgrade` makes today's state of one of an earlier
    version.
    """

    name: str
    reads: tuple[type[Message], ...]
    react: Callable[[State, Event], Reaction]
    version: int = 1
    upgrade: Callable[[int, State], State] | None = None

    def __post_init__(self) -> None:
        if not self.facts:
            raise ValueError(f"policy {self.name}: name at least one fact that it reads")

    @cached_property
    def facts(self) -> frozenset[str]:
        """The facts it reads by name. Raises UnknownFact for a message that is not a fact."""
        return frozenset(fact_name(fact) for fact in self.reads)


def topics_of(policies: Iterable[Policy], topics: Mapping[str, Topic] = TOPICS) -> tuple[str, ...]:
    """The topics that carry what these policies read."""
    facts = frozenset[str]().union(*(policy.facts for policy in policies))
    return tuple(name for name, topic in topics.items() if facts & set(topic.facts))

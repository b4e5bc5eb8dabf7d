"""What players say to an NPC, each line with what is meant by it: the workload on which the cache is measured."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from random import Random

from examples.nethack.roster import NAMES
from examples.nethack.speech import sayings
from inference.agent import Agent
from inference.attempt import Question
from inference.cache import Cache
from schemas import DecisionRequested

_PLACES = tuple(f"{zone} {depth}" for zone in ("Dungeons of Doom", "Gnomish Mines") for depth in range(1, 9))
_NUMBER_MAX = 20
# How players change a line as they type it; what is meant stays the same.
_HABITS: Sequence[tuple[str, str]] = (
    ("I am ", "I'm "),
    ("do not ", "don't "),
    ("I will ", "I'll "),
    ("What is ", "What's "),
    ("I would ", "I'd "),
    ("Thank you", "Thanks"),
    ("Where can I find ", "Do you know where I can find "),
    ("Can you ", "Can you please "),
)
_OPENINGS = ("Hello, ", "Excuse me, ", "Hi! ", "Oh, ")


@dataclass(frozen=True)
class Line:
    """A line, and what is meant: the intent and what was inserted into it."""

    text: str
    meant: tuple[str, ...]


def lines(count: int, seed: int, *, varied: bool) -> Iterator[Line]:
    """So many lines of examples/nethack/sayings.json; varied, half of them are typed as players type."""
    random = Random(f"sayings-{seed}")
    intents = list(sayings())
    for _ in range(count):
        intent = random.choice(intents)
        template = random.choice(sayings()[intent])
        inserted = {
            "name": random.choice(NAMES).title(),
            "place": random.choice(_PLACES),
            "number": str(random.randint(2, _NUMBER_MAX)),
        }
        slots = [name for _, name, _, _ in string.Formatter().parse(template) if name]
        text = template.format(**inserted)
        text = typed(text, random) if varied and random.random() < 0.5 else text
        yield Line(text, (intent, *(inserted[slot] for slot in slots)))


def typed(text: str, random: Random) -> str:
    """A line as somebody types it: shorter, politer, without capitals or without its end."""
    for long, short in _HABITS:
        if random.random() < 0.5:
            text = text.replace(long, short, 1)
    if random.random() < 0.3:
        opening = random.choice(_OPENINGS)
        text = opening + (text if opening.endswith("! ") else _begun_small(text))
    if random.random() < 0.3:
        text = text.lower()
    return text.rstrip(".!") if random.random() < 0.5 else text


@dataclass
class Hits:
    """How often lines were found in the cache, and how often what was found meant something else."""

    lines: int = 0
    exact: int = 0
    semantic: int = 0
    false: int = 0

    @property
    def rate(self) -> float:
        """The share of lines that were found."""
        return (self.exact + self.semantic) / max(1, self.lines)

    @property
    def false_max(self) -> float:
        """The share of false hits that is not exceeded with 95 % confidence (Clopper and Pearson's bound)."""
        return upper_bound(self.false, self.exact + self.semantic)


def hits(cache: Cache, agent: Agent, said: Iterator[Line]) -> Hits:
    """Look every line up, and keep an answer to it where none is found, as a worker does."""
    found, meant = Hits(), dict[str, tuple[str, ...]]()
    for number, line in enumerate(said):
        question = question_of(agent, line.text, f"line-{number}")
        hit = cache.find(question)
        found.lines += 1
        if hit is None:
            meant[question.request.decision_id] = line.meant
            cache.put(question, agent.default(question.context))
            continue
        found.exact += hit.why["kind"] == "exact"
        found.semantic += hit.why["kind"] == "semantic"
        found.false += meant[hit.why["decision_id"]] != line.meant
    return found


def question_of(agent: Agent, text: str, decision_id: str, npc: str = "villager") -> Question:
    """What a player says to an NPC, as the question to an agent that answers to free text."""
    context = {"npc": npc, agent.free_text: text}
    request = DecisionRequested(
        decision_id=decision_id, agent=agent.name, legal_actions=agent.legal_actions(context), tier=agent.tier
    )
    return Question(agent, context, request)


def upper_bound(false: int, of: int, confidence: float = 0.95) -> float:
    """Clopper and Pearson's one-sided bound: the greatest share at which so few are still no rarer than 1 in 20."""
    if false >= of:
        return 1.0

    def likely(share: float) -> float:
        return sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(false + 1))

    return _where_below(likely, 1 - confidence)


def _where_below(falling: Callable[[float], float], level: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > level else (low, middle)
    return high


def _begun_small(text: str) -> str:
    keeps = text.startswith(("I ", "I'")) or any(text.startswith(name.title()) for name in NAMES)
    return text if keeps else text[0].lower() + text[1:]


#: A day's lines as they are written, and as they are typed.
plainly = partial(lines, varied=False)
as_typed = partial(lines, varied=True)

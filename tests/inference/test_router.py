"""The router: the cheapest of four routes that will do, whatever the context holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.agent import Agent, Answer, Content, Context
from inference.agents import AGENTS
from inference.attempt import Question
from inference.cache import Cache
from inference.complexity import FULL_MIN, RULES_MAX
from inference.router import Route, Router, fits, group_of
from inference.validation import Refused
from schemas import DecisionRequested
from tests.inference.asking import Order, guard

IGNORE = Answer("ignore", Order(action="ignore", why="It is late."))
GREET = Answer("greet", Order(action="greet", why="It is a friend."))


def signature(context: Context) -> Context:
    return {"mood": context["mood"], "hour": context["hour"]}


porter = dataclasses.replace(
    guard,
    name="porter",
    signature=signature,
    blurs=("hour",),
    complexity=lambda context: context["complexity"],
    rules=lambda context: GREET if context["mood"] == "calm" else None,
    check=lambda context, answer: "nobody greets the angry" if (answer, context["mood"]) == (GREET, "angry") else "",
)


def ask(
    agent: Agent = porter, *, world: int = 0, actions: tuple[str, ...] = ("greet", "ignore"), **context: Any
) -> Question:
    context = {"mood": "angry", "hour": 3, "complexity": 0.5} | context
    return Question(agent, context, DecisionRequested(agent=agent.name, legal_actions=actions, world_version=world))


@pytest.fixture
def router() -> Router:
    return Router(Cache(None, now_ms=lambda: 0))


def raises(context: Context, *more: object) -> Any:
    raise KeyError("mood")


# Which route.


def test_what_is_easy_is_left_to_the_rules(router: Router) -> None:
    route = router.route(ask(mood="calm", complexity=RULES_MAX))
    assert (route.kind, route.answer, route.complexity) == ("rule", GREET, RULES_MAX)
    assert route.why == {"complexity": RULES_MAX, "rules_max": RULES_MAX}


def test_what_the_rules_do_not_know_is_asked_even_if_it_is_easy(router: Router) -> None:
    assert router.route(ask(mood="angry", complexity=0.0)).kind == "batch"


def test_what_the_rules_do_not_offer_is_not_taken(router: Router) -> None:
    assert router.route(ask(mood="calm", complexity=0.0, actions=("ignore",))).kind == "batch"


@pytest.mark.parametrize(
    ("complexity", "kind"), [(RULES_MAX + 0.01, "batch"), (FULL_MIN - 0.01, "batch"), (FULL_MIN, "full"), (1.0, "full")]
)
def test_the_harder_the_dearer(router: Router, complexity: float, kind: str) -> None:
    route = router.route(ask(complexity=complexity))
    assert (route.kind, route.answer, bool(route.group)) == (kind, None, kind == "batch")


def test_what_was_answered_before_needs_no_model(router: Router) -> None:
    assert router.learned(ask(complexity=1.0), IGNORE, route="full")
    route = router.route(ask(complexity=1.0))
    assert (route.kind, route.answer, route.why["kind"]) == ("cache", IGNORE, "exact")


def test_the_rules_come_before_the_cache(router: Router) -> None:
    router.learned(ask(mood="calm"), IGNORE, route="full")
    assert router.route(ask(mood="calm", complexity=0.1)).kind == "rule"


def test_an_ensemble_never_votes_for_several(router: Router) -> None:
    assert router.route(ask(dataclasses.replace(porter, ensemble=True))).kind == "full"


def test_an_agent_without_a_signature_is_like_no_other(router: Router) -> None:
    assert router.route(ask(dataclasses.replace(porter, signature=None, blurs=()))).kind == "full"


# Who is alike.


def test_those_that_differ_in_what_blurs_alone_are_asked_together() -> None:
    assert group_of(ask(hour=3)) == group_of(ask(hour=4, unsigned="x", actions=("ignore", "greet")))


@pytest.mark.parametrize(
    "other",
    [ask(mood="calm"), ask(world=1), ask(actions=("ignore",)), ask(dataclasses.replace(porter, name="other"))],
    ids=["signature", "world", "legal actions", "agent"],
)
def test_others_are_not(other: Question) -> None:
    assert group_of(ask()) != group_of(other)


# What is used again.


def test_a_cached_answer_that_does_not_fit_here_is_a_miss(router: Router) -> None:
    blind = dataclasses.replace(porter, signature=lambda context: {"any": 1}, blurs=())
    assert router.learned(ask(blind, mood="calm"), GREET, route="full")
    assert router.route(ask(blind, mood="calm")).kind == "cache"
    route = router.route(ask(blind, mood="angry"))
    assert route.kind == "batch"
    assert route.why["unfit"] == "nobody greets the angry"


@pytest.mark.parametrize(
    "how",
    [
        {"route": "rule"},
        {"route": "cache"},
        {"route": "full", "fallback_reason": "timeout"},
        {"route": "batch", "safety": "personal_data"},
    ],
)
def test_what_no_model_answered_is_not_learned(router: Router, how: dict[str, str]) -> None:
    assert not router.learned(ask(), IGNORE, **how)
    assert router.route(ask()).kind == "batch"


def test_what_does_not_fit_its_own_question_is_not_learned(router: Router) -> None:
    assert not router.learned(ask(mood="angry"), GREET, route="full")


class Other(Content):
    """Not what the guard says."""

    word: str


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("fly", Order(action="fly", why="It can.")), "illegal_action"),
        (Answer("greet", IGNORE.content), "unfit"),
        (Answer("greet", Other(word="hello")), "malformed"),
        (Answer("ignore", Order(action="ignore", why="<|im_start|>")), "reserved_token"),
        (GREET, "unfit"),
    ],
)
def test_an_answer_fits_if_it_has_the_shape_the_action_and_the_agents_word(answer: Answer, reason: str) -> None:
    refused = fits(ask(mood="angry"), answer)
    assert refused is not None
    assert refused.reason == reason


def test_an_answer_that_fits() -> None:
    assert fits(ask(mood="angry"), IGNORE) is None


# Hostile contexts.


@pytest.mark.parametrize("part", ["complexity", "rules", "check", "signature", "default"])
def test_whatever_an_agent_raises_there_is_a_route(router: Router, part: str) -> None:
    agent = dataclasses.replace(porter, **{part: raises})
    for complexity in (0.0, 0.5, 1.0):
        assert isinstance(router.route(ask(agent, complexity=complexity)), Route)
        router.learned(ask(agent, complexity=complexity), IGNORE, route="full")
        assert isinstance(router.route(ask(agent, complexity=complexity)), Route)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 7, "hard", None])
def test_a_complexity_that_is_none_is_the_highest(router: Router, score: object) -> None:
    route = router.route(ask(complexity=score, mood="calm"))
    assert (route.kind, route.complexity) == ("full", 1.0)


def test_a_complexity_below_none_is_none(router: Router) -> None:
    assert router.route(ask(complexity=-1.0, mood="calm")).complexity == 0.0


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
keys = st.sampled_from(
    ["zone", "depth", "said", "npc", "players", "places", "killers", "gold", "recent", "day", "hour"]
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(AGENTS)), st.dictionaries(keys, values, max_size=6))
def test_every_agent_that_ships_has_a_route_for_any_context(name: str, context: dict[str, Any]) -> None:
    router = Router(Cache(None, now_ms=lambda: 0))
    request = DecisionRequested(agent=name, context=orjson.dumps(context).decode(), legal_actions=["a"])
    question = Question.of(request, AGENTS)
    assert not isinstance(question, Refused)
    route = router.route(question)
    assert (route.answer is not None) == (route.kind in ("rule", "cache"))
    assert bool(route.group) == (route.kind == "batch")
    assert 0 <= route.complexity <= 1

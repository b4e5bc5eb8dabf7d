"""The cache: what is found again, what must never be, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.agent import Agent, Answer, Context
from inference.attempt import Question
from inference.cache import SIMILARITY_MIN, Cache
from inference.embedding import TEXT_MAX, Embedder, choose_embedder
from inference.gates import GATES
from schemas import DecisionRequested
from tests.inference.asking import Order, guard

GREET = Answer("greet", Order(action="greet", why="It is a friend."))

keeper = dataclasses.replace(guard, name="keeper", free_text="heard", cached_s=60)
watch = dataclasses.replace(guard, name="watch", signature=lambda context: {"mood": context["mood"]}, cached_s=60)


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms


class Same:
    """Takes all texts for the same, so that nothing but the gates tells them apart."""

    name = "same"

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, text: str) -> NDArray[np.float32] | None:
        self.embedded.append(text)
        return np.array([1.0, 0.0], dtype=np.float32)


class Told(Same):
    """Gives texts the angle that it is told."""

    def __init__(self, cosines: dict[str, float]) -> None:
        super().__init__()
        self._cosines = cosines

    def embed(self, text: str) -> NDArray[np.float32] | None:
        cosine = self._cosines.get(text, 1.0)
        return np.array([cosine, (1 - cosine**2) ** 0.5], dtype=np.float32)


def ask(
    agent: Agent = watch, *, world: int = 0, actions: tuple[str, ...] = ("greet", "ignore"), **context: object
) -> Question:
    request = DecisionRequested(
        decision_id=f"of {sorted(context.items())}", agent=agent.name, legal_actions=actions, world_version=world
    )
    return Question(agent, context, request)


def heard(text: str, **context: object) -> Question:
    return ask(keeper, heard=text, **context)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    found = choose_embedder()
    assert found is not None
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache:
    return Cache(Same(), now_ms=clock)


# By state.


def test_the_same_state_is_answered_again_and_says_why(cache: Cache, clock: Clock) -> None:
    asked = ask(mood="calm", hour=3)
    assert cache.find(asked) is None
    assert cache.put(asked, GREET)
    clock.ms += 400
    hit = cache.find(ask(mood="calm", hour=4))
    assert hit is not None
    assert hit.answer is GREET
    source = asked.request.decision_id
    assert hit.why == {"kind": "exact", "similarity": 1.0, "gates": [], "decision_id": source, "age_ms": 400}


@pytest.mark.parametrize(
    "other",
    [
        ask(mood="angry"),
        ask(mood="calm", world=1),
        ask(mood="calm", actions=("greet",)),
        ask(dataclasses.replace(watch, name="other"), mood="calm"),
    ],
    ids=["state", "world", "legal actions", "agent"],
)
def test_any_other_state_is_not(cache: Cache, other: Question) -> None:
    cache.put(ask(mood="calm"), GREET)
    assert cache.find(other) is None


def test_the_order_of_legal_actions_is_no_state(cache: Cache) -> None:
    cache.put(ask(mood="calm", actions=("greet", "ignore")), GREET)
    assert cache.find(ask(mood="calm", actions=("ignore", "greet"))) is not None


def test_an_agent_without_a_signature_has_its_context_as_its_state(cache: Cache) -> None:
    cache.put(ask(guard, heard="hello", hour=3), GREET)
    assert cache.find(ask(guard, hour=3, heard="hello")) is not None
    assert cache.find(ask(guard, heard="hello", hour=4)) is None


# Time and size.


def test_an_answer_is_used_for_as_long_as_its_agent_says(cache: Cache, clock: Clock) -> None:
    cache.put(ask(mood="calm"), GREET)
    clock.ms += 59_999
    assert cache.find(ask(mood="calm")) is not None
    clock.ms += 1
    assert cache.find(ask(mood="calm")) is None
    assert len(cache) == 0


def test_being_used_does_not_make_an_answer_last(cache: Cache, clock: Clock) -> None:
    cache.put(ask(mood="calm"), GREET)
    for _ in range(3):
        clock.ms += 20_000
        found = cache.find(ask(mood="calm"))
    assert found is None


def test_an_agent_may_have_nothing_used_again(cache: Cache) -> None:
    never = dataclasses.replace(watch, cached_s=0)
    assert not cache.put(ask(never, mood="calm"), GREET)
    assert cache.find(ask(never, mood="calm")) is None


def test_the_longest_unused_is_forgotten_first(clock: Clock) -> None:
    cache = Cache(Same(), now_ms=clock, entries_max=2)
    cache.put(heard("first words"), GREET)
    cache.put(heard("second words"), GREET)
    assert cache.find(heard("First words!")) is not None
    cache.put(heard("third words"), GREET)
    assert len(cache) == 2
    assert cache.find(heard("second words")) is None
    assert cache.find(heard("Second words!")) is None
    assert cache.find(heard("first words")) is not None


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "find", "wait"]), st.sampled_from(["Go on.", "go on", "Go on!", "Stay.", "stay"])
        ),
        max_size=40,
    )
)
def test_it_never_keeps_more_than_it_may_nor_gives_what_is_too_old(steps: list[tuple[str, str]]) -> None:
    clock = Clock()
    cache = Cache(Same(), now_ms=clock, entries_max=3)
    for step, text in steps:
        if step == "put":
            assert cache.put(heard(text), GREET)
            assert cache.find(heard(text)) is not None
        elif step == "find":
            hit = cache.find(heard(text))
            assert hit is None or hit.why["age_ms"] < 60_000
        else:
            clock.ms += 25_000
        assert len(cache) <= 3


# What may not be kept.


def test_an_action_that_was_not_offered_is_not_kept(cache: Cache) -> None:
    assert not cache.put(ask(mood="calm", actions=("ignore",)), GREET)


def raises(context: Context) -> Context:
    raise KeyError("mood")


def holds_a_set(context: Context) -> Context:
    return {"mood": {1, 2}}


@pytest.mark.parametrize("signature", [raises, holds_a_set, watch.signature])
def test_a_context_that_has_no_state_is_neither_kept_nor_found(
    cache: Cache, signature: Callable[[Context], Context]
) -> None:
    hostile = ask(dataclasses.replace(watch, signature=signature))
    assert not cache.put(hostile, GREET)
    assert cache.find(hostile) is None


# By what the words say.


def test_words_that_say_the_same_are_answered_again_and_say_why(clock: Clock) -> None:
    cache = Cache(Told({"where's the shop": 0.9}), now_ms=clock)
    asked = heard("Where is the shop?", npc="priest")
    cache.put(asked, GREET)
    clock.ms += 10
    hit = cache.find(heard("where's the shop", npc="priest"))
    assert hit is not None
    assert hit.why == {
        "kind": "semantic",
        "similarity": 0.9,
        "gates": list(GATES),
        "embedder": "same",
        "decision_id": asked.request.decision_id,
        "age_ms": 10,
    }


@pytest.mark.parametrize(("cosine", "found"), [(0.849, False), (0.851, True), (-1.0, False)])
def test_they_must_be_alike_above_the_threshold(clock: Clock, cosine: float, found: bool) -> None:
    cache = Cache(Told({"where's the shop": cosine}), now_ms=clock)
    cache.put(heard("Where is the shop?"), GREET)
    assert (cache.find(heard("where's the shop")) is not None) == found


@pytest.mark.parametrize(
    "other",
    [
        ask(keeper, heard="go on", npc="priest"),
        ask(keeper, heard="go on", npc="guard", world=1),
        ask(keeper, heard="go on", npc="guard", actions=("greet",)),
        ask(dataclasses.replace(keeper, name="other"), heard="go on", npc="guard"),
    ],
    ids=["who is spoken to", "world", "legal actions", "agent"],
)
def test_all_else_must_be_equal(cache: Cache, other: Question) -> None:
    cache.put(heard("Go on!", npc="guard"), GREET)
    assert cache.find(heard("go on", npc="guard")) is not None
    assert cache.find(other) is None


def test_without_an_embedder_only_the_same_words_are_found(clock: Clock) -> None:
    cache = Cache(None, now_ms=clock)
    cache.put(heard("Go on!"), GREET)
    assert cache.find(heard("Go on!")) is not None
    assert cache.find(heard("go on")) is None


def test_an_agent_without_free_text_is_never_found_by_words(cache: Cache) -> None:
    cache.put(ask(guard, heard="Go on!"), GREET)
    assert cache.find(ask(guard, heard="go on")) is None


@pytest.mark.parametrize("words", [None, 7, ["Go on!"], {"a": 1}, "", "?!", "word " * TEXT_MAX])
def test_words_that_are_none_or_too_many_are_found_by_state_alone(cache: Cache, words: object) -> None:
    assert cache.put(ask(keeper, heard=words), GREET)
    hit = cache.find(ask(keeper, heard=words))
    assert hit is not None
    assert hit.why["kind"] == "exact"


def test_most_misses_cost_no_embedding(clock: Clock) -> None:
    same = Same()
    cache = Cache(same, now_ms=clock)
    cache.put(heard("Go on!"), GREET)
    same.embedded.clear()
    assert cache.find(heard("Stay here!")) is None
    assert same.embedded == []


def test_the_most_alike_of_several_is_taken(clock: Clock) -> None:
    cache = Cache(Told({"go on": 0.2, "Go on!": 0.95, "GO ON": 1.0}), now_ms=clock)
    for text in ("go on", "Go on!"):
        cache.put(heard(text), GREET)
    hit = cache.find(heard("GO ON"))
    assert hit is not None
    assert hit.why["similarity"] == pytest.approx(0.95, abs=1e-4)


# Why not.


def test_a_near_miss_says_which_gates_are_closed(embedder: Embedder, clock: Clock) -> None:
    cache = Cache(embedder, now_ms=clock)
    cache.put(heard("Sell me 3 potions.", npc="guard"), GREET)
    cache.put(heard("The weather is fine.", npc="guard"), GREET)
    near, far = cache.why_not(heard("Sell me 4 potions.", npc="guard"))
    assert (near.text, near.closed) == ("Sell me 3 potions.", ("numbers", "words", "order"))
    assert near.similarity > SIMILARITY_MIN
    assert "similarity" in far.closed
    [near, _] = cache.why_not(heard("sell me 3 potions", npc="priest"))
    assert near.closed == ("state",)


def test_a_hit_is_no_near_miss(cache: Cache) -> None:
    cache.put(heard("Go on!"), GREET)
    assert cache.why_not(heard("go on")) == ()

"""The limits of facts: what is at them is taken, one more is refused by name, and no fold refuses what is taken."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

import schemas
from projections import PROJECTIONS
from projections.crdt import Grow
from projections.decoding import Decoder
from projections.errors import DeclarationRefused
from projections.fold import Fold
from projections.projection import Projection
from schemas import (
    FACTS,
    DecisionRequested,
    Event,
    EventRefused,
    FlagSet,
    GoldGained,
    PlayerSaid,
    UnknownFact,
    check_decision_request,
    check_fact,
    check_subject,
    fact_name,
)
from schemas.limits import (
    DECISION_ID_BYTES_MAX,
    FACT_BYTES_MAX,
    FACT_LIMITS,
    NAME_BYTES_MAX,
    NUMBER_MAX,
    NUMBERS,
    QUANTITY_MAX,
    REGION_BYTES_MAX,
    SUBJECT_BYTES_MAX,
    TEXTS,
    TRACE_BYTES_MAX,
    FactLimits,
)
from schemas.requests import ACTION_BYTES_MAX, CONTEXT_BYTES_MAX
from streams.sdk.envelope import SHAPES

fold, decoder = Fold(PROJECTIONS), Decoder(PROJECTIONS)
ASKED: dict[str, Any] = {"decision_id": "d", "agent": "guard", "tier": "gold", "legal_actions": ["greet"]}


def limits_of(kind: str) -> Iterator[tuple[str, Any, Any]]:
    """Every field of a fact that has a limit, with the greatest value within it and one beyond it."""
    limits = FACT_LIMITS[kind]
    for name, most in limits.numbers:
        yield name, most, most + 1
    for name, bytes_max in limits.texts:
        if bytes_max < FACT_BYTES_MAX:
            yield name, "é" * (bytes_max // 2), "é" * (bytes_max // 2) + "x"
        yield name, "", "a\0b"
    for name in limits.reals:
        yield name, -1.5, inf
        yield name, 0.0, nan


LIMITS = [(kind, *limit) for kind in FACTS for limit in limits_of(kind)]


@pytest.mark.parametrize(("kind", "name", "within", "beyond"), LIMITS)
def test_a_value_at_the_limit_is_taken_and_one_beyond_it_is_refused_by_name(
    kind: str, name: str, within: Any, beyond: Any
) -> None:
    check_fact(FACTS[kind](**{name: within}))
    with pytest.raises(EventRefused, match=f"^{kind}.{name} "):
        check_fact(FACTS[kind](**{name: beyond}))


def test_a_refusal_tells_the_limit_and_the_value() -> None:
    with pytest.raises(EventRefused, match=r"gold_gained.amount is 4398046511105: at most 4398046511104"):
        check_fact(GoldGained(amount=2**42 + 1))
    with pytest.raises(EventRefused, match=r"gold_gained.reason has 601 bytes: at most 600: 'xxx"):
        check_fact(GoldGained(reason="x" * 601))
    with pytest.raises(EventRefused, match=r"player_said of 10241 bytes: a fact has at most 10240"):
        check_fact(PlayerSaid(text="x" * (FACT_BYTES_MAX - 2)))


@pytest.mark.parametrize("other", [Event(), "player moved", GoldGained])
def test_what_is_no_fact_is_refused(other: Any) -> None:
    with pytest.raises((EventRefused, UnknownFact)):
        check_fact(other)


@pytest.mark.parametrize("subject", ["", "x" * (SUBJECT_BYTES_MAX + 1), "é" * 129, "\ud800", "a\0b", b"hero", 7, None])
def test_what_cannot_be_a_subject_is_refused(subject: Any) -> None:
    with pytest.raises(EventRefused, match="subject"):
        check_subject(subject)


def test_the_docs_name_the_limits() -> None:
    page = (Path(schemas.__file__).parents[1] / "docs" / "sdk.md").read_text()
    numbers = (FACT_BYTES_MAX, QUANTITY_MAX, NUMBER_MAX, NAME_BYTES_MAX, DECISION_ID_BYTES_MAX, SUBJECT_BYTES_MAX)
    numbers += (TRACE_BYTES_MAX, REGION_BYTES_MAX, ACTION_BYTES_MAX, CONTEXT_BYTES_MAX)
    assert [number for number in numbers if f"{number:,} " not in page] == []


def test_every_exception_names_a_field_that_there_is() -> None:
    fields = {f"{kind}.{field.name}" for kind, fact in FACTS.items() for field in fact.DESCRIPTOR.fields}
    assert fields >= NUMBERS | TEXTS


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": ""},
        {"agent": "x" * 101},
        {"agent": "gu\nard"},
        {"decision_id": ""},
        {"decision_id": "x" * 129},
        {"decision_id": "x" * 300},
        {"decision_id": "two words"},
        {"tier": ""},
        {"tier": "platinum"},
        {"impact": "enormous"},
        {"legal_actions": []},
        {"legal_actions": ["greet", ""]},
        {"legal_actions": ["x" * 201]},
        {"context": "{"},
        {"context": "[]"},
        {"context": '{"a": NaN}'},
        {"context": '{"a": "\\ud800"}'},
        {"context": "[" * 5_000},
        {"context": '{"a": "' + "x" * 8_000 + '"}'},
    ],
)
def test_a_request_that_no_agent_could_answer_is_refused_with_its_field(changes: dict[str, Any]) -> None:
    with pytest.raises(EventRefused, match=f"decision_requested.{next(iter(changes))} "):
        check_decision_request(DecisionRequested(**(ASKED | changes)))


@pytest.mark.parametrize(
    "changes", [{}, {"context": '{"player": "Zoë"}'}, {"impact": "high"}, {"decision_id": "a.B_:-1"}]
)
def test_a_request_in_form_is_taken(changes: dict[str, Any]) -> None:
    check_decision_request(DecisionRequested(**(ASKED | changes)))


@st.composite
def facts_at_their_bounds(draw: st.DrawFn) -> Message:
    """A fact each field of which is 0, at a bound of some database or of its own, or one beyond."""
    kind = draw(st.sampled_from(sorted(FACTS)))
    limits: FactLimits = FACT_LIMITS[kind]
    wide = dict(limits.numbers)
    numbers = st.sampled_from([0, 1, 2**31 - 1, 2**32, 2**42, 2**42 + 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1])
    made = FACTS[kind](**(ASKED if kind == "decision_requested" else {}))
    for name in wide:
        setattr(made, name, draw(numbers))
    for name, bytes_max in limits.texts:
        longest = st.sampled_from([0, 1, 150, 151, 599, 600, 601, bytes_max - 1, bytes_max, bytes_max + 1])
        if kind != "decision_requested" or draw(st.booleans()):
            text = draw(st.sampled_from("xé\U0001f600"))
            setattr(made, name, text * (min(draw(longest), 3_000) // len(text.encode())))
    for name in limits.reals:
        setattr(made, name, draw(st.floats()))
    return made


@given(st.lists(facts_at_their_bounds(), min_size=1, max_size=5), st.sampled_from(["h", "é" * 128]))
def test_whatever_a_producer_takes_every_projection_folds(facts: list[Message], subject: str) -> None:
    taken = []
    for fact in facts:
        try:
            SHAPES[type(fact)].encode(fact)
        except EventRefused:
            continue
        fields: dict[str, Any] = {fact_name(fact): fact}
        taken.append(Event(subject=subject, region="r" * REGION_BYTES_MAX, origin="o", sequence=1, stamp=1, **fields))
    for event in taken:
        fold.check(event)
    folded = fold.events(taken)
    if taken:
        assert fold.columns(decoder.columns([event.SerializeToString() for event in taken])).keys() == folded.keys()


def test_a_sum_or_a_key_that_producers_are_not_held_to_is_refused_in_its_declaration() -> None:
    with pytest.raises(DeclarationRefused, match=r"flag_set.value .* schemas/limits.py"):
        Fold([Projection("flags", key="quest", total=Grow(FlagSet, "value"))])
    with pytest.raises(DeclarationRefused, match=r"player_said.text .* schemas/limits.py"):
        Fold([Projection("words", key="text", times=Grow(PlayerSaid))])

"""Validation: of what a model wrote, only what was asked for is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Answer
from inference.agents import chronicler
from inference.prompts import canonical
from inference.validation import CONTENT_MAX_BYTES, Refused, validate
from tests.inference.asking import LINE, Order, context_of, death, guard
from tests.strategies import ANY_TEXTS

HEARD = {"heard": "hello"}
LEGAL = ("greet", "ignore")


def judged(text: str) -> str:
    outcome = validate(text, guard, HEARD, LEGAL)
    return outcome.reason if isinstance(outcome, Refused) else outcome.action


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('{"action":"greet","why":"She is known here."}', "greet"),
        ('{"action":"attack","why":"She told me to."}', "illegal_action"),
        ('{"action":"","why":"Nothing."}', "illegal_action"),
        ('{"action":"greet"}', "malformed"),
        ('{"action":"greet","why":"Well.","gold":1000}', "malformed"),
        ('{"action":["greet"],"why":"Well."}', "malformed"),
        ('{"action":"greet","why":"Wel', "malformed"),
        ("", "malformed"),
        ("null", "malformed"),
        ("I will greet her.", "malformed"),
        ('{"action":"greet","why":"<|im_start|>system"}', "reserved_token"),
        ('{"action":"greet","why":"one\\ntwo"}', "unprintable"),
        ('{"action":"greet","why":"\\u202eback to front"}', "unprintable"),
        (canonical({"action": "greet", "why": "x" * CONTENT_MAX_BYTES}), "too_long"),
    ],
)
def test_an_answer_is_believed_only_in_the_form_that_was_asked_for(text: str, outcome: str) -> None:
    assert judged(text) == outcome


@given(ANY_TEXTS | st.builds(lambda action, why: canonical({"action": action, "why": why}), ANY_TEXTS, ANY_TEXTS))
def test_no_text_leads_to_an_action_that_is_not_legal(text: str) -> None:
    outcome = validate(text, guard, HEARD, LEGAL)
    assert isinstance(outcome, Refused) or outcome.action in LEGAL


def test_an_output_without_a_choice_means_the_only_legal_action() -> None:
    context = context_of(death())
    believed = validate(LINE, chronicler, context, ("chronicle",))
    assert isinstance(believed, Answer)
    assert believed.action == "chronicle"
    assert validate(LINE, chronicler, context, ("chronicle", "burn")) == Refused(
        "illegal_action", "'' is none of: chronicle, burn"
    )


@pytest.mark.parametrize(
    "line",
    [
        "Bjorn fell to a jackal on the 3rd level of the Dungeons of Doom.",
        "Astrid went down to the 3rd level of the Dungeons of Doom.",
        "Astrid fell to a jackal on the 3rd level of the Dungeons of Doom " + "and on " * 10 + "and.",
    ],
)
def test_a_line_that_tells_another_event_or_runs_on_is_not_chronicled(line: str) -> None:
    outcome = validate(canonical({"line": line}), chronicler, context_of(death()), ("chronicle",))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "unfit"


def test_an_answers_json_is_read_back_as_the_same_answer() -> None:
    answer = Answer("greet", Order(action="greet", why="She is known here."))
    assert validate(answer.json(), guard, HEARD, LEGAL) == answer

"""Answers as the servers of the world give them: believed when they are valid, whatever stands around them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Answer
from inference.engines import EngineBusy, PromptRefused
from inference.engines.endings import ending_of
from inference.prompts import canonical
from inference.validation import Refused, validate
from inference.wrapping import bare
from tests.inference.asking import guard
from tests.inference.providing import CHOSEN, asking
from tests.inference.serving import asked, replying
from tests.inference.voting import GREET, decided, outcomes
from tests.strategies import ANY_TEXTS

LEGAL = ("greet", "ignore")
WRAPPED = [
    GREET,
    f"```json\n{GREET}\n```",
    f"```\n{GREET}```",
    f"```json {GREET}",
    f"Here is the answer:\n```JSON\n{GREET}\n```\nIs there anything else?",
    f"<think>If {{he}} is armed, `ignore`. ```no```</think>\n{GREET}",
    f"He smiles, so I greet.</think>\n\n{GREET}",
    f"<think></think>\n\n```json\n{GREET}\n```",
    f"[THINK]He smiles.[/THINK]{GREET}",
    f"\ufeff\n {GREET}\n",
    f"{GREET}<|im_end|>",
    f"{GREET}\n<|eot_id|></s>",
]


@pytest.mark.parametrize("text", WRAPPED)
def test_a_valid_answer_is_believed_whatever_stands_around_it(text: str) -> None:
    outcome = validate(text, guard, {"heard": "hello"}, LEGAL)
    assert isinstance(outcome, Answer)
    assert outcome.action == "greet"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"```json\n{GREET}\n```\n```json\n{GREET}\n```", "malformed"),
        (f"I could say {GREET} but\n```json\n{GREET}\n```", "malformed"),
        (f"<think>{GREET}", "malformed"),
        ('```json\n{"action":"attack","why":"She told me to."}\n```', "illegal_action"),
        ('<think>Well.</think>{"action":"greet","why":"<|im_start|>system"}', "reserved_token"),
        ("```json\n" + canonical({"action": "greet", "why": "x" * 9_000}) + "\n```", "too_long"),
        ("```", "malformed"),
    ],
)
def test_what_is_wrapped_is_judged_like_any_answer(text: str, reason: str) -> None:
    outcome = validate(text, guard, {"heard": "hello"}, LEGAL)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason


def test_long_thoughts_do_not_make_an_answer_too_long() -> None:
    assert isinstance(validate(f"<think>{'well ' * 9_000}</think>{GREET}", guard, {"heard": "hello"}, LEGAL), Answer)


@given(before=ANY_TEXTS, why=ANY_TEXTS)
def test_an_answers_own_text_is_never_cut(before: str, why: str) -> None:
    answer = canonical({"action": "greet", "why": why + "</think> ``` x"})
    assert bare(answer) == answer
    assert bare(f"<think>{before}</think>{answer}") == bare(answer)


@pytest.mark.parametrize(
    "text", ["`" * 300_000, "<|" * 150_000 + "x", "</think>" * 50_000, "{" + " <|a|>" * 50_000 + "x"]
)
def test_no_text_takes_long(text: str) -> None:
    assert len(bare(text)) <= len(text)


async def test_a_vote_in_a_fence_is_a_vote() -> None:
    assert outcomes(await decided(*[f"```json\n{GREET}\n```"] * 3)) == ["valid"] * 3


MISSING = object()
REASONS = [
    "stop",
    "eos_token",
    None,
    MISSING,
    "STOP",
    "end_turn",
    "stop_sequence",
    "tool_calls",
    "because",
    7,
    {"type": "stop"},
]


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reason_that_nobody_knows_is_none_to_throw_a_valid_answer_away(reason: Any) -> None:
    choice = {"message": {"content": CHOSEN}, "finish_reason": reason}
    if reason is MISSING:
        del choice["finish_reason"]
    usage = {"prompt_tokens": 90, "completion_tokens": 7}
    async with replying({"choices": [choice], "usage": usage}) as (url, _), asked(url) as engine:
        done = await engine.complete(asking())
    assert (done.text, done.finish_reason, done.completion_tokens) == (CHOSEN, "stop", 7)


@pytest.mark.parametrize(
    "reason", ["length", "MAX_TOKENS", "max_tokens", "model_length", {"type": "length", "length": 40}]
)
async def test_an_answer_that_broke_off_is_known_by_any_word_for_it(reason: Any) -> None:
    choice = {"message": {"content": CHOSEN[:9]}, "finish_reason": reason}
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        assert (await engine.complete(asking())).finish_reason == "length"


async def test_without_a_reason_an_answer_as_long_as_was_allowed_broke_off() -> None:
    reply = {
        "choices": [{"message": {"content": CHOSEN[:9]}, "finish_reason": None}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 40},
    }
    async with replying(reply) as (url, _), asked(url) as engine:
        assert (await engine.complete(asking())).finish_reason == "length"


@pytest.mark.parametrize(
    "reason", ["content_filter", "CONTENT_FILTER", "SAFETY", "RECITATION", "refusal", "content_filter: SPII"]
)
async def test_an_answer_that_a_filter_cut_is_not_believed(reason: str) -> None:
    choice = {"message": {"content": CHOSEN}, "finish_reason": reason}
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        with pytest.raises(PromptRefused, match="filter"):
            await engine.complete(asking())


async def test_an_answer_that_a_failure_cut_is_not_believed_either() -> None:
    choice = {"message": {"content": CHOSEN}, "finish_reason": "insufficient_system_resource"}
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        with pytest.raises(EngineBusy, match="broke off"):
            await engine.complete(asking())


async def test_the_parts_that_are_text_are_the_answer() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "He smiles."}]},
        {"type": "text", "text": CHOSEN[:5]},
        {"type": "text", "text": CHOSEN[5:]},
    ]
    choice = {"message": {"content": parts}, "finish_reason": "stop"}
    async with replying({"choices": [choice]}) as (url, _), asked(url) as engine:
        assert (await engine.complete(asking())).text == CHOSEN


@given(st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()))
def test_any_reason_can_be_read(reason: Any) -> None:
    assert ending_of(reason) in ("told", "untold", "length", "withheld", "failed")

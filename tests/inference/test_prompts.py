"""What a model is shown: players' words are data and hold nothing that speaks for somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.prompts import RESERVED, Prompt, Turn, as_data, canonical, conversation
from tests.strategies import ANY_TEXTS

TOKENS = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "[INST]", "</s>", "<<SYS>>", "<start_of_turn>", "</data>", "\uff1c|x|\uff1e"]
)


@given(st.lists(ANY_TEXTS | TOKENS).map("".join), st.integers(0, 60))
def test_data_is_one_printable_line_without_reserved_tokens(text: str, limit: int) -> None:
    shown = as_data(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert not RESERVED.search(shown)


def test_ordinary_names_stay_as_they_are() -> None:
    assert as_data("Åsa O'Neil-7", 32) == "Åsa O'Neil-7"


def test_a_conversation_ends_with_the_question_and_shares_what_comes_before() -> None:
    turns = conversation("Be brief.", [("2+2?", {"answer": 4})], "3+3?")
    assert turns == (
        Turn("system", "Be brief."),
        Turn("user", "2+2?"),
        Turn("assistant", '{"answer":4}'),
        Turn("user", "3+3?"),
    )


def test_a_digest_tells_questions_apart_but_not_draws_of_one() -> None:
    prompt = Prompt((Turn("user", "Who?"),), {"type": "object"}, max_tokens=9, seed=1)
    redrawn = Prompt(prompt.turns, prompt.schema, max_tokens=9, seed=2)
    other = Prompt((Turn("user", "Where?"),), prompt.schema, max_tokens=9, seed=1)
    assert prompt.digest() == redrawn.digest() != other.digest()


def test_canonical_json_does_not_depend_on_the_order_of_fields() -> None:
    assert canonical({"b": 1, "a": [True, None]}) == canonical({"a": [True, None], "b": 1}) == '{"a":[true,null],"b":1}'


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError):
        canonical({"a": object()})

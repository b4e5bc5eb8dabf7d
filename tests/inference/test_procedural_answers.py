"""What the agents of the world's days answer: legal and well formed whatever they are told, and what a cap covers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.agent import IMPACTS, Answer
from inference.agents import AGENTS
from inference.attempt import Question, by_rules
from inference.engines import choose_engine
from inference.prices import cost_usd_micros
from inference.prompts import RESERVED, Prompt, canonical
from inference.requests import requests_for
from inference.validation import Refused, read, validate
from tests.inference.days import NAMES, SCHEDULED, TOLD, every_context, of_context
from tests.strategies import ANY_TEXTS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | ANY_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXTS, inner, max_size=4),
    max_leaves=8,
)
# Rubbish under the names that agents read, so that they do read it.
KEYS = sorted(
    {*TOLD, "zone", "visits", "number", "floor", "depth", "role", "personality", "name", "was", "coming", "last"}
)
RUBBISH = st.dictionaries(st.sampled_from(KEYS) | ANY_TEXTS, JSON, max_size=8)


@given(name=st.sampled_from(list(SCHEDULED)), context=RUBBISH.map(canonical) | ANY_TEXTS)
@settings(max_examples=150)
def test_rubbish_in_a_schedule_stops_no_agent(name: str, context: str) -> None:
    for request in requests_for(of_context(SCHEDULED[name], context), {name: AGENTS[name]}):
        question = Question.of(request, AGENTS)
        assert isinstance(question, Question)
        assert by_rules(question)[1] == ""


@given(name=st.sampled_from(NAMES), context=RUBBISH)
@settings(max_examples=250)
def test_rubbish_in_a_request_stops_no_agent(name: str, context: dict[str, Any]) -> None:
    agent = AGENTS[name]
    legal = agent.legal_actions(context)
    assert 0 <= agent.complexity(context) <= 1
    assert agent.impact(context) in IMPACTS
    assert len(canonical(agent.shown(context))) > 0
    questions = [turn.content for turn in agent.prompt(agent.shown(context)) if turn.role == "user"]
    assert all(not RESERVED.search(asked.removeprefix("<data>").removesuffix("</data>")) for asked in questions)
    for answer in (agent.rules(context), agent.default(context)):
        assert answer is not None
        assert answer.action in legal
        assert not isinstance(read(answer.json(), agent), Refused)
        assert isinstance(agent.check(context, answer), str)


def test_what_the_rules_answer_would_be_believed_of_a_model() -> None:
    for agent, context in every_context():
        answer = agent.rules(context)
        assert answer is not None
        assert validate(answer.json(), agent, context, agent.legal_actions(context)) == answer


def test_what_the_game_is_told_is_in_the_context_and_little() -> None:
    for agent, context in every_context():
        assert set(agent.tells) <= set(context)
        assert len(canonical(context)) < 2_000


@pytest.mark.parametrize("name", NAMES)
def test_the_solved_examples_are_answers_that_would_be_believed(name: str) -> None:
    agent, context = next((agent, context) for agent, context in every_context() if agent.name == name)
    solved = [turn.content for turn in agent.prompt(agent.shown(context)) if turn.role == "assistant"]
    assert 2 <= len(solved) <= 4
    for text in solved:
        assert agent.output.model_validate_json(text)


def test_a_cap_covers_the_worst_that_the_default_model_costs() -> None:
    for agent, context in every_context():
        prompt_bytes = sum(len(turn.content.encode()) for turn in agent.prompt(agent.shown(context)))
        for model in ("deepseek-chat", "Qwen2.5-7B-Instruct", "llama-3.1-70b"):
            worst = cost_usd_micros(model, prompt_bytes, agent.max_tokens, agent.deadline_ms)
            assert worst <= agent.cost_cap_usd_micros


async def test_a_small_model_mostly_answers_so_that_it_is_believed() -> None:
    engine = choose_engine("llamacpp")
    assert engine is not None
    by_name = {agent.name: (agent, context) for agent, context in every_context()}
    tried = [by_name[name] for name in ("weather", "event_chain", "dynamic_npc", "archaeology")]
    believed = 0
    for agent, context in tried:
        legal = agent.legal_actions(context)
        turns = agent.prompt(agent.shown(context))
        done = await engine.complete(Prompt(turns, agent.schema(legal), agent.max_tokens, seed=1, temperature=0.0))
        believed += isinstance(validate(done.text, agent, context, legal), Answer)
    await engine.close()
    assert believed >= len(tried) - 1

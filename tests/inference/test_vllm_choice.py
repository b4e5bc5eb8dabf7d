"""A choice in one pass, without vLLM: which prompts are choices, and which token means which action."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_lowercase

import pytest

from benchmarks import gpu
from inference.agent import Agent, Choice
from inference.agents import AGENTS
from inference.engines.vllm import BEGINNINGS_MAX, Vllm, _only_choice
from tests.inference.asking import guard
from tests.inference.days import PLACES

GOLD = [agent for agent in AGENTS.values() if agent.tier == "gold"]


def told_by(actions: Sequence[str], tokens: Iterable[str]) -> dict[str, str]:
    """The actions by their tokens, of a model that knows these."""
    engine, known = Vllm("model"), list(tokens)
    engine._vocabulary = {text: number for number, text in enumerate(known)}
    return {known[token]: action for token, action in engine._told_by(actions).items()}


@pytest.mark.parametrize("agent", GOLD, ids=lambda agent: agent.name)
def test_whoever_is_asked_in_real_time_only_chooses(agent: Agent) -> None:
    assert agent.written is Choice
    for depth, (zone, _) in enumerate(PLACES * 3):
        legal = agent.legal_actions({"zone": zone, "depth": depth})
        assert _only_choice(agent.schema(legal)) == list(legal)
        assert sorted(told_by(legal, ascii_lowercase).values()) == sorted(legal)


def test_there_is_an_agent_of_gold() -> None:
    assert [agent.name for agent in GOLD] == ["decision"]


def test_what_is_measured_of_gpus_is_what_gold_asks() -> None:
    prompts = [gpu._choice(number) for number in range(200)]
    assert all(_only_choice(prompt.schema) for prompt in prompts)
    assert len({prompt.turns for prompt in prompts}) == len(prompts)
    assert {prompt.turns[0] for prompt in prompts} == {AGENTS["decision"].prompt({})[0]}


def test_whoever_writes_more_than_an_action_is_not_asked_to_choose() -> None:
    assert _only_choice(guard.schema(("greet", "ignore"))) is None


def test_an_action_is_told_by_every_token_that_begins_it_and_no_other() -> None:
    tokens = ["f", "flee", "fl", "fo", "w", "watch", "at", "ee", "\u0120flee", "follow"]
    found = told_by(["flee", "follow", "watch"], tokens)
    assert found == {
        "fl": "flee", "flee": "flee", "fo": "follow", "follow": "follow", "w": "watch", "watch": "watch",
    }  # fmt: skip


@pytest.mark.parametrize(
    "actions", [["raise_a", "raise_b"], ["wait", "wait_more"], ["watch", ""], ["watch", "\u00e9lite"], []]
)
def test_actions_that_no_one_token_tells_apart_are_written_out(actions: list[str]) -> None:
    assert told_by(actions, [*ascii_lowercase, "rai", "raise", "wait"]) == {}


def test_so_many_beginnings_that_vllm_would_not_tell_their_probabilities_are_written_out() -> None:
    long = ["".join(letter * BEGINNINGS_MAX) for letter in "ab"]
    assert told_by(long, (action[:end] for action in long for end in range(1, BEGINNINGS_MAX))) == {}

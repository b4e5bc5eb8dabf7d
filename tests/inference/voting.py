"""What the tests of ensembles share: a question that is voted on, seats, and what a verdict tells of its votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from inference.agent import Agent, Answer
from inference.attempt import Question
from inference.engines import Engine, Scripted
from inference.engines.scripted import Reply
from inference.ensemble import Ensemble, Seat, Verdict
from inference.prompts import Prompt
from schemas import DecisionRequested, PlayerSaid, VoteCast
from tests.inference.asking import Order, asked, guard, happened, now_ms

WEIGHTS = (0.4, 0.4, 0.2)
GREET, IGNORE = '{"action":"greet","why":"He smiles."}', '{"action":"ignore","why":"He is armed."}'


def answer(action: str, why: str = "") -> Answer:
    return Answer(action, Order(action=action, why=why))


def asking(agent: Agent = guard, **changes: Any) -> tuple[Question, Prompt]:
    request = asked(happened(PlayerSaid(text="Let me in!"))).decision_requested
    request.MergeFrom(DecisionRequested(**changes))
    question = Question(agent, {"heard": "Let me in!"}, request)
    prompt = question.prompt()
    assert isinstance(prompt, Prompt)
    return question, prompt


def seated(*engines: Engine, weights: Sequence[float] = WEIGHTS) -> list[Seat]:
    return [
        Seat(name=f"seat-{number}", weight=weight, engine=engine)
        for number, (engine, weight) in enumerate(zip(engines, weights, strict=False))
    ]


def ensemble(*engines: Engine, weights: Sequence[float] = WEIGHTS, **more: Any) -> Ensemble:
    return Ensemble(seated(*engines, weights=weights), now_ms=now_ms, **more)


async def decided(*replies: Reply, weights: Sequence[float] = WEIGHTS) -> Verdict:
    engines = [Scripted([reply]) for reply in replies]
    return await ensemble(*engines, weights=weights).decide(*asking(), allowed_ms=5_000)


def outcomes(verdict: Verdict) -> list[str]:
    return [fact.outcome for fact in verdict.facts if isinstance(fact, VoteCast)]


def last(facts: Sequence[Message]) -> Message:
    return facts[-1]

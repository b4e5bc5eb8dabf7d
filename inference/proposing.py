"""From a draft to a proposal: what is unsafe gives way to the rules, and the rules to the default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from google.protobuf.message import Message

from inference.agent import Answer, Impact
from inference.attempt import Attempt, Question, by_rules
from inference.governance import GATED, gravest
from inference.validation import Refused
from schemas import AnswerFoundUnsafe, CostSampled, DecisionProposed

RouteKind = Literal["rule", "cache", "batch", "full"]
# By these a model has just written the answer; what is in the cache was judged when it was written.
_WRITTEN: frozenset[RouteKind] = frozenset({"batch", "full"})

# Reasons are for people to read: of what an engine said this many characters are kept.
REASON_MAX = 200
# What is kept for reviewers; an event holds 10 KB, and a character takes up to four bytes.
UNSAFE_TEXT_MAX = 2_000
#: What is wrong with a text that may not be shown or done; what merely fits badly or broke off is not unsafe.
UNSAFE_REASONS = frozenset({"malformed", "illegal_action", "too_long", "reserved_token", "unprintable"})

NO_MODEL = Refused("no_model", "no model package installed")
EXPIRED = Refused("expired", "its deadline had passed before it was taken up")


class Unsafe(Protocol):
    """Why an answer may not be shown or done; None when it may (inference/safety.py). `written`: by a model."""

    def __call__(self, question: Question, answer: Answer, /, *, written: bool = False) -> Refused | None:
        """Judge an answer."""


@dataclass
class Draft:
    """What a route came to, before it is known to be safe.

    outcome: an answer, or why there is none. text: what a model wrote. facts: an ensemble's votes and consensus.
    costs: of the calls that this request pays for. batch_size: how many requests the one call answered.
    """

    outcome: Answer | Refused
    route: RouteKind
    engine: str = "rule"
    model: str = ""
    confidence: float = 0.0
    impact: Impact = "low"
    batch_size: int = 0
    text: str = ""
    facts: list[Message] = field(default_factory=list)
    costs: list[CostSampled] = field(default_factory=list)
    prompt_hash: str = ""
    waited_ms: int = 0

    @classmethod
    def of(cls, attempt: Attempt, question: Question, route: RouteKind, batch_size: int) -> Draft:
        """What an attempt comes to for one of those it was made for."""
        said = attempt.said
        return cls(
            attempt.answer_to(question),
            route,
            attempt.engine,
            attempt.model,
            # An engine that does not say how sure it was is not taken to be sure of anything.
            confidence=(said.confidence or 0.0) if said else 0.0,
            batch_size=batch_size,
            text=said.text if said else "",
            costs=list(attempt.costs),
            prompt_hash=attempt.prompt_hash,
            waited_ms=attempt.waited_ms,
        )


@dataclass
class Settled:
    """What is proposed: an answer, by which route, and why it is not the one that was wanted."""

    answer: Answer
    fault: Refused | None = None
    why_default: str = ""
    safety: str = ""
    unsafe: list[Message] = field(default_factory=list)


def settle(question: Question, draft: Draft, unsafe: Unsafe) -> Settled:
    """The first of the draft, the rules' answer and the default that there is and that is safe."""
    if draft.outcome is EXPIRED:
        return Settled(question.agent.default(question.context), EXPIRED)
    found: list[Message] = []
    outcome = draft.outcome
    written = draft.route in _WRITTEN
    fault = unsafe(question, outcome, written=written) if isinstance(outcome, Answer) else outcome
    if isinstance(outcome, Answer) and fault is None:
        return Settled(outcome)
    assert fault is not None  # an answer that is safe has been given
    judged = isinstance(outcome, Answer)
    safety = ""
    if judged or fault.reason in UNSAFE_REASONS:
        text = draft.text or (outcome.json() if isinstance(outcome, Answer) else "")
        found.append(found_unsafe(question, fault, text, draft.model))
        safety = said(fault)
    if judged and draft.route == "rule":
        return Settled(question.agent.default(question.context), fault, "", safety, found)
    answer, why_default = by_rules(question)
    worse = None if why_default else unsafe(question, answer)
    if worse is not None:
        found.append(found_unsafe(question, worse, answer.json(), ""))
        safety = safety or said(worse)
        answer, why_default = question.agent.default(question.context), f"the rules' answer is {said(worse)}"
    return Settled(answer, fault, why_default, safety, found)


def proposed(question: Question, draft: Draft, settled: Settled) -> DecisionProposed:
    """The proposal, without what only the worker knows: complexity, latency and why this route."""
    fault, answer = settled.fault, settled.answer
    fallen = fault is not None
    impact = gravest(question.request.impact, draft.impact)
    reason = "" if fault is None else fault.detail if fault is NO_MODEL else said(fault)
    return DecisionProposed(
        decision_id=question.request.decision_id,
        agent=question.agent.name,
        action=answer.action,
        content=answer.json(),
        engine="rule" if fallen else draft.engine,
        model="" if fallen else draft.model,
        route="rule" if fallen else draft.route,
        fallback_reason="; ".join(filter(None, [_kept(reason), _kept(settled.why_default)])),
        confidence=0.0 if fallen else draft.confidence,
        impact=impact,
        requires_approval=impact in GATED,
        batch_size=0 if fallen else draft.batch_size,
        prompt_hash=draft.prompt_hash,
        safety=_kept(settled.safety),
    )


def said(fault: Refused) -> str:
    """A refusal as one line."""
    return fault.reason if fault is EXPIRED else f"{fault.reason}: {fault.detail}"


def found_unsafe(question: Question, fault: Refused, text: str, model: str) -> AnswerFoundUnsafe:
    """The fact that a text may not be shown or done, with as much of the text as an event holds."""
    return AnswerFoundUnsafe(
        decision_id=question.request.decision_id,
        agent=question.agent.name,
        reason=fault.reason,
        detail=_kept(fault.detail),
        text=_kept(text, UNSAFE_TEXT_MAX),
        model=model,
    )


def _kept(text: str, characters_max: int = REASON_MAX) -> str:
    """As much of a foreign text as a fact holds; a NUL, which no fact may hold, is shown in its place."""
    return text.replace("\0", "\\0")[:characters_max]

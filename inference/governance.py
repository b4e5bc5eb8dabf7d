"""Governance: whether a proposed decision takes effect, what is at stake, and what a game is told of it."""

from __future__ import annotations

from collections.abc import Mapping

from inference.agent import CHOSEN, IMPACTS, Agent, Answer, Context, Impact
from inference.attempt import Question, by_rules, unknown_agent
from inference.prompts import canonical
from inference.safety import unsafe
from inference.validation import Refused, illegal, read
from schemas import DecisionEffective, DecisionProposed, DecisionRejected, DecisionRequested

#: What a person has to agree to first (spec B.1 and C.1).
GATED: frozenset[Impact] = frozenset({"high", "critical"})
# Beside content of 8,000 bytes an effect holds this much of the context, and stays below the 10 KB of a fact.
ABOUT_BYTES_MAX = 1_000
# An action is one of a few names; a longer one would not fit an effect beside its content.
ACTION_BYTES_MAX = 200
# Reasons are for people to read, and quote what anybody may have written.
REASON_CHARACTERS_MAX = 500
AGENT_CHARACTERS_MAX = 100


def judge(
    proposed: DecisionProposed, agents: Mapping[str, Agent], request: DecisionRequested | None = None
) -> DecisionEffective | DecisionRejected:
    """A proposal of the agent's shape takes effect; any other is rejected, with the reason.

    Whoever may write to the log may propose, so a proposal is read as warily as a model's answer. With its request at
    hand it must also answer that request, by an action that was legal there, fit its context, and be safe.
    """
    refused = fault(proposed, agents, request)
    if refused:
        return rejected(proposed, refused)
    question = Question.of(request, agents) if request is not None else None
    return effect(proposed, question if isinstance(question, Question) else None)


def fault(
    proposed: DecisionProposed, agents: Mapping[str, Agent], request: DecisionRequested | None = None
) -> Refused | None:
    """Why a proposal may not take effect; None when it may."""
    agent = agents.get(proposed.agent)
    if agent is None:
        return unknown_agent(proposed.agent)
    if not proposed.decision_id:
        return Refused("no_decision", "a proposal without a decision's id answers nothing")
    if request is not None:
        if (proposed.decision_id, proposed.agent) != (request.decision_id, request.agent):
            return Refused("other_request", f"it answers another request than {request.decision_id}")
        if proposed.action not in request.legal_actions:
            return illegal(proposed.action, request.legal_actions)
    if not proposed.action:
        return Refused("illegal_action", "a proposal without an action does nothing")
    if len(proposed.action.encode()) > ACTION_BYTES_MAX:
        return Refused("illegal_action", f"an action has at most {ACTION_BYTES_MAX} bytes")
    content = read(proposed.content, agent)
    if isinstance(content, Refused):
        return content
    if getattr(content, "action", proposed.action) != proposed.action:
        return Refused("other_action", "its content chooses another action than it proposes")
    question = Question.of(request, agents) if request is not None else None
    return _unfit(question, Answer(proposed.action, content)) if isinstance(question, Question) else None


def _unfit(question: Question, answer: Answer) -> Refused | None:
    """What our own workers would not have proposed, judged by words alone: no model is asked here."""
    try:
        complaint = question.agent.check(question.context, answer)
    except Exception as error:  # anybody may have written the context
        complaint = f"the agent cannot read the context: {type(error).__name__}"
    return Refused("unfit", complaint) if complaint else unsafe(question, answer)


def rejected(proposed: DecisionProposed | DecisionRequested, refused: Refused) -> DecisionRejected:
    """The refusal as a fact; what others wrote is cut to what an event holds."""
    reason = f"{refused.reason}: {refused.detail}"[:REASON_CHARACTERS_MAX]
    return DecisionRejected(
        decision_id=proposed.decision_id, agent=proposed.agent[:AGENT_CHARACTERS_MAX], reason=reason
    )


def gravest(*impacts: str) -> Impact:
    """The gravest of the impacts; a word that is none counts as low."""
    return max((one for one in IMPACTS if one in impacts), key=IMPACTS.index, default="low")


def stake(question: Question, proposed: DecisionProposed | None = None) -> Impact:
    """What is at stake: the most that the request, the proposal and the agent itself say."""
    action, said = (proposed.action, proposed.impact) if proposed is not None else ("", "")
    return gravest(question.request.impact, said, stake_of(question, action))


def stake_of(question: Question, action: str) -> Impact:
    """What the agent says is at stake in this very action, whatever may be at stake in others of the request."""
    try:
        return question.agent.impact({**question.context, CHOSEN: action})
    except Exception:  # anybody may have written the context; where the agent cannot tell, a person looks
        return "high"


def gated(question: Question, proposed: DecisionProposed) -> bool:
    """Whether a person has to agree before the proposal takes effect."""
    return proposed.requires_approval or stake(question, proposed) in GATED


def effect(proposed: DecisionProposed, question: Question | None = None) -> DecisionEffective:
    """The effect of a proposal without fault, with what a game needs to know of the context."""
    made = DecisionEffective(
        decision_id=proposed.decision_id,
        agent=proposed.agent,
        action=proposed.action,
        content=proposed.content,
        route=proposed.route,
    )
    if question is not None:
        made.impact = stake(question, proposed)
        made.about = about(question.agent, question.context)
    return made


def about(agent: Agent, context: Context) -> str:
    """The fields of the context that a game is told, as canonical JSON; those that do not fit are left out."""
    told: dict[str, object] = {}
    for name in agent.tells:
        if name in context:
            fuller = {**told, name: context[name]}
            told = fuller if len(canonical(fuller).encode()) <= ABOUT_BYTES_MAX else told
    return canonical(told) if agent.tells else ""


def fallback(question: Question) -> tuple[Answer, str]:
    """What is answered when nobody else has: the rules' answer, or the default, and why not the rules'.

    What only a person may agree to is not left to rules. Raises ValueError as `default` does.
    """
    answer, why = _ruled(question)
    if stake(question) in GATED or stake_of(question, answer.action) in GATED:
        return default(question), "what is at stake is not left to rules"
    refused = unsafe(question, answer)
    if refused is not None:
        return default(question), f"the rules' answer is {refused.reason}: {refused.detail}"
    return _legal(answer, question), why


def default(question: Question, *, but: str = "") -> Answer:
    """The agent's default, which takes effect without anybody's consent; `but`: an action that was refused consent.

    Raises ValueError when the request does not allow it, when it is the action that it would stand in for, and when a
    person would have to agree to it as well.
    """
    answer = _legal(_default(question), question)
    if answer.action == but:
        raise ValueError(f"the default is {answer.action!r} too")
    if stake_of(question, answer.action) in GATED:
        raise ValueError(f"the default, {answer.action!r}, needs a person's consent too")
    return answer


def _ruled(question: Question) -> tuple[Answer, str]:
    try:
        return by_rules(question)
    except Exception as error:  # the default has read what anybody may have written
        raise ValueError(f"the agent cannot read the context: {type(error).__name__}") from error


def _default(question: Question) -> Answer:
    try:
        return question.agent.default(question.context)
    except Exception as error:  # as above
        raise ValueError(f"the agent cannot read the context: {type(error).__name__}") from error


def _legal(answer: Answer, question: Question) -> Answer:
    if answer.action not in question.legal_actions:
        raise ValueError(illegal(answer.action, question.legal_actions).detail)
    return answer

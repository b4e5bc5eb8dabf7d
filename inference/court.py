"""Court: one decision's case, from what the log says of it to the one effect that it has.

Pure: a case learns from events, in any order and however often each comes, and is ruled on at a time that it is told.
Whatever has happened, a request of a known agent has at most one effect, and has it once its deadline has passed. One
that a person has to agree to is put to people by then instead, and has its effect, or none, within a day. One that has
been overdue for very long is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Literal

from google.protobuf.message import Message

from inference.agent import Agent, Answer
from inference.attempt import Question
from inference.endings import NOBODY_ASKED, Consent, closed, effective, hexadecimal
from inference.governance import about, default, effect, fallback, fault, gated, rejected, stake, stake_of
from inference.validation import Refused
from schemas import (
    ApprovalRequested,
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    Event,
    fact_of,
)
from schemas.limits import DECISION_ID_BYTES_MAX, ID_BYTES, SUBJECT_BYTES_MAX, TRACE_BYTES_MAX
from schemas.stamps import time_ms
from schemas.topics import DAY_MS

#: From the first word of a decision to its end. held: a proposal whose request has not been read; rejected: no answer
#: is possible, so there is no effect.
State = Literal["held", "open", "awaiting_approval", "effective", "rejected"]
CLOSED: tuple[State, ...] = ("effective", "rejected")

# Requests and proposals are on different partitions: a worker that has to catch up may read the answer much earlier.
GRACE_MS = 60_000
# Nobody waits for an answer that has been due for a month: workers and games are not away for so long. And whoever has
# decided it then may have forgotten that by now.
OVERDUE_MS = 30 * DAY_MS
# For so long after it was proposed a person may answer: whoever looks in once a day finds it. Nothing that a person is
# asked about is urgent, and an arc's chapters leave a day and a half for one that was approved late (inference/arc.py).
APPROVAL_MS = DAY_MS
#: A case that can be ruled on at once.
NOW_MS = 0
# What a database's signed number holds; a deadline beyond it has no meaning either.
DEADLINE_MAX_MS = 2**62

#: Why a proposal that was put to people has no effect: one of them said no, or nobody said yes.
REFUSED, NOT_APPROVED = "refused", "not_approved"
#: Why another has none: its deadline had passed.
LATE = "late"

#: The facts that a case learns from.
HEARD = frozenset(
    {
        "decision_requested",
        "decision_proposed",
        "decision_effective",
        "decision_rejected",
        "decision_closed",
        "decision_expired",
        "approval_requested",
        "approval_given",
    }
)


class Told(IntFlag):
    """What the log holds already beside the effect, so that it is not said again."""

    NOTHING = 0
    EXPIRED = 1
    REJECTED = 2
    APPROVAL_REQUESTED = 4


_TOLD = {
    "decision_expired": Told.EXPIRED,
    "decision_rejected": Told.REJECTED,
    "approval_requested": Told.APPROVAL_REQUESTED,
}


_ENDS: Mapping[str, State] = {"decision_effective": "effective", "decision_closed": "rejected"}


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one decision. `due_ms`: when it is to be ruled on again; None when nothing is left to do."""

    decision_id: str
    subject: str
    state: State = "held"
    request: Event | None = None
    proposal: Event | None = None
    approval: Event | None = None
    told: Told = Told.NOTHING
    due_ms: int | None = None

    @property
    def closed(self) -> bool:
        """Whether it has come to its end."""
        return self.state in CLOSED

    @property
    def deadline_ms(self) -> int:
        """The request's deadline."""
        assert self.request is not None, "a case without a request has no deadline"
        return min(self.request.decision_requested.deadline_ms, DEADLINE_MAX_MS)

    @property
    def until_ms(self) -> int:
        """Until when a person may answer; it follows from the log, so that it is the same whoever rules, and when."""
        assert self.proposal is not None, "nothing has been put to a person"
        return max(self.deadline_ms, time_ms(self.proposal.stamp) + APPROVAL_MS)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a case comes to: how it stands now, the facts to put on the log, and the event that led to them."""

    case: Case
    facts: tuple[Message, ...] = ()
    cause: Event | None = None


def decision_of(event: Event) -> str:
    """The decision that an event is about; "" when it is about none, or by somebody who does not keep to the form."""
    if event.WhichOneof("fact") not in HEARD:
        return ""
    decision_id: str = getattr(fact_of(event), "decision_id")  # noqa: B009 - all facts that are heard have one
    fits = (
        0 < len(event.subject.encode()) <= SUBJECT_BYTES_MAX
        and "\x00" not in event.subject + decision_id
        and len(event.id) in (0, ID_BYTES)
        and event.trace.isascii()
        and len(event.trace) <= TRACE_BYTES_MAX
        and len(decision_id.encode()) <= DECISION_ID_BYTES_MAX
    )
    return decision_id if fits else ""


def learned(case: Case, event: Event, now_ms: int) -> Case:
    """The case after an event about it; what comes a second time, or after the end, changes nothing."""
    fact = event.WhichOneof("fact") or ""
    if case.closed:
        return case
    if fact in _ENDS:
        return _ended(case, _ENDS[fact])
    if fact in _TOLD:
        return replace(case, told=case.told | _TOLD[fact]) if _is_about(case, event) else case
    if fact == "decision_requested" and case.request is None:
        asked = replace(case, request=event, subject=event.subject, state="open")
        return replace(asked, due_ms=NOW_MS if case.proposal is not None else asked.deadline_ms)
    if fact == "decision_proposed" and case.proposal is None:
        return replace(case, proposal=event, due_ms=now_ms + GRACE_MS if case.request is None else NOW_MS)
    # Nobody agrees to what has not been put to them.
    if fact == "approval_given" and case.approval is None and Told.APPROVAL_REQUESTED in case.told:
        return replace(case, approval=event, due_ms=NOW_MS)
    return case


def _is_about(case: Case, event: Event) -> bool:
    """Whether what was told is about the proposal at hand: anybody may have rejected another, or nothing at all."""
    if event.HasField("decision_rejected"):
        return event.decision_rejected.proposal_id == hexadecimal(case.proposal)
    if event.HasField("approval_requested"):
        # Before 0.2 it did not say which.
        return event.approval_requested.proposal_id in ("", hexadecimal(case.proposal))
    return True


def ruled(case: Case, agents: Mapping[str, Agent], now_ms: int) -> Ruling:
    """Rule on a case: its one effect, or what has to come first, or nothing yet."""
    if case.closed:
        return Ruling(case)
    if case.request is None:
        return _without_request(case, now_ms)
    question = Question.of(case.request.decision_requested, agents)
    if isinstance(question, Refused):
        return _impossible(case, question)
    try:
        if case.state == "awaiting_approval":
            return _reviewed(case, question, now_ms)
        if _overdue(case.request, now_ms):
            return _impossible(case, Refused("overdue", f"its answer was due over {OVERDUE_MS // DAY_MS} days ago"))
        if case.proposal is not None and time_ms(case.proposal.stamp) <= case.deadline_ms:
            return _judged(case, question, agents, now_ms)
        if now_ms >= case.deadline_ms:
            return _expired(case, question)
    except ValueError as error:
        return _impossible(case, Refused("no_legal_answer", str(error)))
    return Ruling(replace(case, due_ms=case.deadline_ms))


def _without_request(case: Case, now_ms: int) -> Ruling:
    if case.proposal is None or case.due_ms is None or now_ms < case.due_ms:
        return Ruling(case)
    refused = Refused("no_request", f"no request was read within {GRACE_MS // 1000} s")
    facts = _unless(case, Told.REJECTED, _rejected(case.proposal, refused))
    # Should its request come after all, it is answered as if nobody had proposed anything.
    left = replace(case, proposal=None, due_ms=None, told=case.told & ~Told.REJECTED)
    return Ruling(left, facts, case.proposal)


def _overdue(request: Event, now_ms: int) -> bool:
    # Without a deadline it was to be answered at once.
    return now_ms - (request.decision_requested.deadline_ms or time_ms(request.stamp)) > OVERDUE_MS


def _impossible(case: Case, refused: Refused) -> Ruling:
    assert case.request is not None
    facts = _unless(case, Told.REJECTED, rejected(case.request.decision_requested, refused))
    consent = Consent("lapsed") if case.state == "awaiting_approval" else NOBODY_ASKED
    return Ruling(_ended(case, "rejected"), (*facts, closed(case.request, refused, consent)), case.request)


def _judged(case: Case, question: Question, agents: Mapping[str, Agent], now_ms: int) -> Ruling:
    assert case.request is not None
    assert case.proposal is not None
    proposed = case.proposal.decision_proposed
    refused = fault(proposed, agents, question.request)
    if refused is None and case.proposal.subject != case.request.subject:
        refused = Refused("other_subject", "it decides for somebody else than the request is about")
    if refused is not None:
        return _by_default(case, question, case.proposal, refused)
    if not gated(question, proposed):
        made = effective(effect(proposed, question), case.request, "proposed", proposal=case.proposal)
        return Ruling(_ended(case, "effective"), (made,), case.proposal)
    asked = ApprovalRequested(
        decision_id=case.decision_id,
        agent=proposed.agent,
        action=proposed.action,
        content=proposed.content,
        impact=stake(question, proposed),
        deadline_ms=case.until_ms,
        proposal_id=hexadecimal(case.proposal),
    )
    waiting = replace(case, state="awaiting_approval", told=case.told | Told.APPROVAL_REQUESTED, due_ms=case.until_ms)
    reviewed = _reviewed(waiting, question, now_ms)
    return replace(reviewed, facts=(*_unless(case, Told.APPROVAL_REQUESTED, asked), *reviewed.facts))


def _reviewed(case: Case, question: Question, now_ms: int) -> Ruling:
    assert case.request is not None
    assert case.proposal is not None
    proposed = case.proposal.decision_proposed
    if case.approval is not None and time_ms(case.approval.stamp) <= case.until_ms:
        given = case.approval.approval_given
        if given.approved:
            consent = Consent("approved", case.approval)
            made = effective(effect(proposed, question), case.request, "approved", consent, case.proposal)
            return Ruling(_ended(case, "effective"), (made,), case.approval)
        detail = ": ".join(filter(None, [f"by {given.approver or 'nobody named'}"[:80], given.comment[:200]]))
        consent = Consent("refused", case.approval)
        return _by_default(case, question, case.approval, Refused(REFUSED, detail), consent, but=proposed.action)
    if now_ms >= case.until_ms:
        refused = Refused(NOT_APPROVED, "nobody agreed in time")
        return _by_default(case, question, case.proposal, refused, Consent("lapsed"), but=proposed.action)
    return Ruling(replace(case, due_ms=case.until_ms), cause=case.proposal)


def _by_default(
    case: Case, question: Question, cause: Event, refused: Refused, consent: Consent = NOBODY_ASKED, *, but: str = ""
) -> Ruling:
    """The default in place of a proposal that may not take effect; nothing at all where a person would have to agree
    to the default too."""
    assert case.request is not None
    assert case.proposal is not None
    state: State = "effective"
    try:
        end: Message = effective(_effect_of(default(question, but=but), question), case.request, "default", consent)
    except ValueError as error:
        refused = Refused(refused.reason, f"{refused.detail}; nothing takes effect: {error}")
        state, end = "rejected", closed(case.request, refused, consent)
    facts = _unless(case, Told.REJECTED, _rejected(case.proposal, refused))
    return Ruling(_ended(case, state), (*facts, end), cause)


def _rejected(proposal: Event, refused: Refused) -> Message:
    return rejected(proposal.decision_proposed, refused, hexadecimal(proposal))


def _expired(case: Case, question: Question) -> Ruling:
    assert case.request is not None
    answer, lacking = fallback(question)
    request = question.request
    expired = DecisionExpired(decision_id=request.decision_id, agent=request.agent, deadline_ms=request.deadline_ms)
    proposed = DecisionProposed(
        decision_id=request.decision_id,
        agent=request.agent,
        action=answer.action,
        content=answer.json(),
        engine="rule",
        route="rule",
        fallback_reason="; ".join(filter(None, ["deadline passed", lacking])),
        impact=stake_of(question, answer.action),
    )
    facts = _unless(case, Told.EXPIRED, expired)
    if case.proposal is None:
        facts += (proposed,)
    else:
        late_ms = time_ms(case.proposal.stamp) - case.deadline_ms
        refused = Refused(LATE, f"it came {late_ms} ms after the deadline")
        facts += _unless(case, Told.REJECTED, _rejected(case.proposal, refused))
    made = effective(_effect_of(answer, question), case.request, "deadline")
    return Ruling(_ended(case, "effective"), (*facts, made), case.request)


def _effect_of(answer: Answer, question: Question) -> DecisionEffective:
    return DecisionEffective(
        decision_id=question.request.decision_id,
        agent=question.agent.name,
        action=answer.action,
        content=answer.json(),
        impact=stake_of(question, answer.action),
        route="rule",
        about=about(question.agent, question.context),
    )


def _unless(case: Case, told: Told, fact: Message) -> tuple[Message, ...]:
    return () if told in case.told else (fact,)


def _ended(case: Case, state: State) -> Case:
    # The log holds it all; what is kept of a closed case is that it is closed.
    return Case(case.decision_id, case.subject, state)

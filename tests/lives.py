"""Lives of decisions: what anybody may write about them, in any order and more than once, and a court that may die."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.message import Message
from hypothesis import strategies as st

from inference.agent import CHOSEN, Agent
from inference.court import APPROVAL_MS, GRACE_MS, Case, decision_of, learned, ruled
from schemas import ApprovalGiven, DecisionProposed, DecisionRequested, Event, event_id
from schemas.stamps import pack
from tests.inference.asking import NOW_MS, guard

GREET = '{"action":"greet","why":"It is a fine day."}'
IGNORE = '{"action":"ignore","why":"The gate is shut."}'
UNSAFE = '{"action":"greet","why":"Write to bob@example.org for it."}'
DEADLINE_MS = NOW_MS + 10_000
#: What is of no account; what a person agrees to, but for the default; and what a person agrees to whatever it is.
AGENTS: Mapping[str, Agent] = {
    "guard": guard,
    "warden": replace(
        guard, name="warden", impact=lambda context: "low" if context.get(CHOSEN) == "ignore" else "critical"
    ),
    "keeper": replace(guard, name="keeper", impact=lambda context: "critical"),
}
#: Whom each decision is asked of, nearly always.
DECISIONS = {"d1": "guard", "d2": "warden", "d3": "keeper", "d4": "warden"}
SUBJECT = "astrid"


@dataclass
class Lives:
    """A log, the cases that a court keeps beside it, and what it has put on the log."""

    log: list[Event] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    #: How far in the log the cases have come.
    position: int = 0
    now_ms: int = NOW_MS
    said: list[Event] = field(default_factory=list)

    def write(self, fact: Message, *, origin: str, region: str = "eu", ago_ms: int = 0, cause: bytes = b"") -> Event:
        """One more event, which may say that it happened before now."""
        number, stamp = len(self.log), pack(self.now_ms - ago_ms, len(self.log) & 0xFFFF)
        name = next(
            one.name for one in Event.DESCRIPTOR.oneofs_by_name["fact"].fields if one.message_type is fact.DESCRIPTOR
        )
        event = Event(
            id=event_id(self.now_ms, number.to_bytes(10, "big")),
            subject=SUBJECT,
            stamp=stamp,
            region=region,
            origin=origin,
            sequence=number,
            cause=cause,
            **{name: fact},
        )
        self.log.append(event)
        return event

    def work(self, survives: int | None = None) -> None:
        """Read what is new and rule on it; die after `survives` facts are on the log, unless it is None."""
        cases, end = dict(self.cases), len(self.log)
        for event in self.log[self.position :]:
            if decision_id := decision_of(event):
                before = cases.get(decision_id) or Case(decision_id, event.subject)
                cases[decision_id] = learned(before, event, self.now_ms)
        for name in sorted(cases):
            ruling = ruled(cases[name], AGENTS, self.now_ms)
            for fact in ruling.facts:
                if survives == 0:
                    return
                survives = None if survives is None else survives - 1
                assert ruling.cause is not None
                self.said.append(self.write(fact, origin="decide", cause=ruling.cause.id))
            cases[name] = ruling.case
        if survives is None:
            self.cases, self.position = cases, end


def request(agent: str, decision_id: str) -> DecisionRequested:
    """What is asked of an agent."""
    return DecisionRequested(
        decision_id=decision_id,
        agent=agent,
        tier="gold",
        context="{}",
        legal_actions=["greet", "ignore"],
        deadline_ms=DEADLINE_MS,
    )


_ids = st.sampled_from(list(DECISIONS))
_regions = st.sampled_from(["eu", "us"])
_mostly = st.integers(0, 9).map(lambda drawn: drawn > 0)
_requests = st.builds(
    lambda decision_id, right: request(DECISIONS[decision_id] if right else "nobody", decision_id), _ids, _mostly
)
_proposals = st.builds(
    lambda decision_id, right, words: DecisionProposed(
        decision_id=decision_id,
        agent=DECISIONS[decision_id] if right else "guard",
        action=words[0],
        content=words[1],
        route="full",
    ),
    _ids,
    _mostly,
    st.sampled_from([*[("greet", GREET)] * 4, ("ignore", IGNORE), ("burn", GREET), ("greet", UNSAFE)]),
)
_answers = st.builds(
    ApprovalGiven,
    decision_id=_ids,
    approver=st.sampled_from(["Ada", "Bob", ""]),
    approved=st.booleans(),
    comment=st.sampled_from(["", "seen"]),
)
_asking = st.tuples(_requests, st.just("game"), _regions, st.just(0))
_proposing = st.tuples(_proposals, st.sampled_from(["infer", "forger"]), _regions, st.sampled_from([0, 0, 500, NOW_MS]))
_answering = st.tuples(_answers, st.just("approve"), _regions, st.just(0))
_working = st.tuples(st.just("work"), st.one_of(st.none(), st.none(), st.integers(0, 4)))
#: What is written, by whom, and how long before now it says that it was; time that passes; a turn of the court.
STEPS: st.SearchStrategy[list[Any]] = st.builds(
    lambda first, then: [*first, *then],
    st.lists(_asking, max_size=6),
    st.lists(
        st.one_of(
            _asking,
            _proposing,
            _proposing,
            _working,
            _working,
            _working,
            _answering,
            _answering,
            st.sampled_from([*[1] * 12, *[400] * 4, DEADLINE_MS - NOW_MS + 1, GRACE_MS, APPROVAL_MS]),
            st.tuples(st.just("again"), st.integers(0, 60)),
        ),
        min_size=8,
        max_size=50,
    ),
)


def lived(steps: list[Any]) -> Lives:
    """The lives that come of these steps."""
    lives = Lives()
    for step in steps:
        match step:
            case int():
                lives.now_ms += step
            case ("work", survives):
                lives.work(survives)
            case ("again", number):
                # The same record a second time: the court hears it again, and the fold leaves it out by its dot.
                if lives.log:
                    lives.log.append(lives.log[number % len(lives.log)])
            case (fact, origin, region, ago_ms):
                lives.write(fact, origin=origin, region=region, ago_ms=ago_ms)
    lives.work()
    return lives


def once(log: list[Event]) -> list[Event]:
    """Each event the first time."""
    return list({event.id: event for event in log}.values())

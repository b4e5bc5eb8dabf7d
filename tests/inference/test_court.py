"""Court: whatever happens, in whatever order and however often, a request has one effect, and has it in time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import CHOSEN, Agent, Answer, Context, Impact
from inference.agents import AGENTS as EVERY_AGENT
from inference.agents.story_teller import PLOTS
from inference.asking import Asking
from inference.court import APPROVAL_MS, GRACE_MS, OVERDUE_MS, Case, Ruling, decision_of, learned, ruled
from inference.governance import GATED, gravest
from inference.prompts import canonical
from schemas import (
    ApprovalGiven,
    ApprovalRequested,
    DecisionClosed,
    DecisionEffective,
    DecisionExpired,
    DecisionProposed,
    DecisionRejected,
    DecisionRequested,
    Event,
    fact_of,
)
from tests.inference.asking import ALL, NOW_MS, happened
from tests.inference.days import every_context

ID = "d" * 32
DEADLINE_MS = NOW_MS + 1_000
GREET = '{"action":"greet","why":"It is a fine day."}'
IGNORE = '{"action":"ignore","why":"The gate is shut."}'
AGENTS = {
    **ALL,
    "guard": replace(ALL["guard"], tells=("heard",)),
    # It may do harm, so a person agrees first.
    "warden": replace(
        ALL["guard"],
        name="warden",
        impact=lambda context: "low" if context.get(CHOSEN) == "ignore" else "critical",
    ),
}


def request(agent: str = "guard", **changes: object) -> DecisionRequested:
    fields: dict[str, object] = {
        "decision_id": ID,
        "agent": agent,
        "tier": "gold",
        "context": '{"heard":"Open!"}',
        "legal_actions": ["greet", "ignore"],
        "deadline_ms": DEADLINE_MS,
    }
    return DecisionRequested(**{**fields, **changes})  # type: ignore[arg-type]


def proposal(agent: str = "guard", action: str = "greet", content: str = GREET, **changes: object) -> DecisionProposed:
    fields: dict[str, object] = {"decision_id": ID, "agent": agent, "action": action, "content": content}
    return DecisionProposed(**{"route": "full", **fields, **changes})  # type: ignore[arg-type]


def approval(approved: bool = True) -> ApprovalGiven:
    return ApprovalGiven(decision_id=ID, approver="Ada", approved=approved, comment="seen")


def case_of(*facts: Message, at_ms: int = NOW_MS, subject: str = "astrid") -> Case:
    case = Case(ID, subject)
    for number, fact in enumerate(facts, start=1):
        case = learned(case, happened(fact, subject=subject, at_ms=at_ms, number=number), at_ms)
    return case


def kinds(ruling: Ruling) -> list[type[Message]]:
    return [type(fact) for fact in ruling.facts]


def effect_of(ruling: Ruling) -> DecisionEffective:
    [found] = [fact for fact in ruling.facts if isinstance(fact, DecisionEffective)]
    return found


def test_a_proposal_for_its_request_takes_effect_with_what_a_game_is_told() -> None:
    ruling = ruled(case_of(request(), proposal()), AGENTS, NOW_MS)
    assert ruling.case.state == "effective"
    expected = {"action": "greet", "content": GREET, "impact": "low", "route": "full", "about": '{"heard":"Open!"}'}
    [made] = ruling.facts
    for record in ("rule", "proposal_id", "request_id", "called_by", "approval_status"):
        assert getattr(made, record)
        made.ClearField(record)
    assert made == DecisionEffective(decision_id=ID, agent="guard", **expected)


def test_the_order_of_request_and_proposal_makes_no_difference() -> None:
    asked, answered = happened(request(), number=1), happened(proposal(), number=2)
    one, other = (
        learned(learned(Case(ID, "astrid"), first, NOW_MS), second, NOW_MS)
        for first, second in ((asked, answered), (answered, asked))
    )
    assert ruled(one, AGENTS, NOW_MS).facts == ruled(other, AGENTS, NOW_MS).facts


def test_a_refused_proposal_gives_way_to_the_default() -> None:
    for wrong in (proposal(action="burn"), proposal(content="{}"), proposal(content=IGNORE), proposal(agent="warden")):
        ruling = ruled(case_of(request(), wrong), AGENTS, NOW_MS)
        assert kinds(ruling) == [DecisionRejected, DecisionEffective]
        assert (effect_of(ruling).action, effect_of(ruling).route) == ("ignore", "rule")


def test_a_proposal_about_somebody_else_is_refused() -> None:
    case = learned(case_of(request()), happened(proposal(), subject="bjorn"), NOW_MS)
    ruling = ruled(case, AGENTS, NOW_MS)
    assert kinds(ruling) == [DecisionRejected, DecisionEffective]
    assert ruling.facts[0].reason.startswith("other_subject")


def test_nobody_answers_for_an_unknown_agent() -> None:
    ruling = ruled(case_of(request("nobody")), AGENTS, NOW_MS)
    assert (ruling.case.state, kinds(ruling)) == ("rejected", [DecisionRejected, DecisionClosed])


def test_a_request_to_an_agent_that_is_switched_off_ends_with_a_refusal_that_says_so() -> None:
    off = {**AGENTS, "guard": replace(AGENTS["guard"], asking=Asking(enabled=False))}
    for facts in ([request()], [request(), proposal()], [proposal(), request()]):
        ruling = ruled(case_of(*facts), off, NOW_MS)
        assert (ruling.case.state, kinds(ruling)) == ("rejected", [DecisionRejected, DecisionClosed])
        rejected, _ = ruling.facts
        assert isinstance(rejected, DecisionRejected)
        assert rejected.reason.startswith("agent_off: guard is switched off")


def test_a_request_that_allows_none_of_its_agents_answers_is_rejected() -> None:
    ruling = ruled(case_of(request(legal_actions=["burn"])), AGENTS, DEADLINE_MS)
    assert (ruling.case.state, kinds(ruling)) == ("rejected", [DecisionRejected, DecisionClosed])


def test_what_is_at_stake_waits_for_a_person() -> None:
    for asked in (
        case_of(request("warden"), proposal("warden")),
        case_of(request(impact="high"), proposal()),
        case_of(request(), proposal(impact="critical")),
        case_of(request(), proposal(requires_approval=True)),
    ):
        waiting = ruled(asked, AGENTS, NOW_MS)
        assert (waiting.case.state, kinds(waiting)) == ("awaiting_approval", [ApprovalRequested])
        yes = learned(waiting.case, happened(approval()), NOW_MS)
        assert effect_of(ruled(yes, AGENTS, NOW_MS)).action == "greet"
        no = ruled(learned(waiting.case, happened(approval(False)), NOW_MS), AGENTS, NOW_MS)
        assert kinds(no) == [DecisionRejected, DecisionEffective]
        assert "Ada: seen" in no.facts[0].reason
        late = ruled(waiting.case, AGENTS, NOW_MS + APPROVAL_MS)
        assert kinds(late) == [DecisionRejected, DecisionEffective]
        assert effect_of(no).action == effect_of(late).action == "ignore"
        assert effect_of(no).impact == effect_of(late).impact == "low"


def test_a_person_has_a_day_to_agree_though_the_deadline_is_a_second_away() -> None:
    asked = ruled(case_of(request("warden"), proposal("warden")), AGENTS, NOW_MS)
    until_ms = asked.facts[0].deadline_ms
    assert until_ms == NOW_MS + APPROVAL_MS > DEADLINE_MS
    for now_ms in (DEADLINE_MS, until_ms - 1):
        still = ruled(asked.case, AGENTS, now_ms)
        assert (still.case.state, still.case.due_ms, still.facts) == ("awaiting_approval", until_ms, ())
    last = learned(asked.case, happened(approval(), at_ms=until_ms), until_ms)
    assert effect_of(ruled(last, AGENTS, until_ms + 5_000)).action == "greet"
    late = learned(asked.case, happened(approval(), at_ms=until_ms + 1), until_ms + 1)
    assert effect_of(ruled(late, AGENTS, until_ms + 5_000)).action == "ignore"


def test_until_when_a_person_may_agree_does_not_depend_on_when_it_is_ruled_on() -> None:
    case = case_of(request("warden"), proposal("warden"))
    ends = {ruled(case, AGENTS, NOW_MS + late_ms).facts[0].deadline_ms for late_ms in (0, 500, 5_000)}
    assert ends == {NOW_MS + APPROVAL_MS}
    week_ms = NOW_MS + 7 * APPROVAL_MS
    patient = ruled(case_of(request("warden", deadline_ms=week_ms), proposal("warden")), AGENTS, NOW_MS)
    assert patient.case.due_ms == patient.facts[0].deadline_ms == week_ms


def put_to_a_person(agent: Agent, context: Context, action: str) -> Case:
    """A case in which an agent's action, whatever it is, waits for a person."""
    fields = {**orjson.loads(agent.default(context).json()), "action": action}
    content = orjson.dumps({name: value for name, value in fields.items() if name in agent.output.model_fields})
    asked = request(
        agent.name,
        context=canonical(context),
        legal_actions=agent.legal_actions(context),
        impact=gravest("high", agent.impact(context)),
    )
    # Whether the content fits the action is not what is asked here.
    case = case_of(asked, proposal(agent.name, action, content.decode()))
    waiting = ruled(case, {agent.name: replace(agent, check=lambda context, answer: "")}, NOW_MS).case
    assert waiting.state == "awaiting_approval", (agent.name, action)
    return waiting


# One context of every agent for each choice that it has, and for each stake.
EVERY_CONTEXT = list(
    {
        (agent.name, agent.legal_actions(context), agent.impact(context)): (agent, context)
        for agent, context in (*((agent, {}) for agent in EVERY_AGENT.values()), *every_context())
    }.values()
)


def test_what_a_person_did_not_agree_to_has_no_effect_of_any_agents_nor_anything_as_grave() -> None:
    for agent, context in EVERY_CONTEXT:
        for action in agent.legal_actions(context):
            waiting = put_to_a_person(agent, context, action)
            refused = learned(waiting, happened(approval(False)), NOW_MS)
            for ruling in (
                ruled(refused, EVERY_AGENT, NOW_MS),
                ruled(waiting, EVERY_AGENT, NOW_MS + APPROVAL_MS),
            ):
                assert ruling.case.closed
                effects = [fact for fact in ruling.facts if isinstance(fact, DecisionEffective)]
                assert kinds(ruling) == [DecisionRejected, DecisionEffective if effects else DecisionClosed]
                assert ruling.facts[0].reason.startswith(("refused", "not_approved"))
                for effect in effects:
                    assert effect.action != action
                    assert effect.impact == agent.impact({**context, CHOSEN: effect.action}) not in GATED


def test_what_nobody_proposed_in_time_is_not_answered_by_what_a_person_would_have_to_agree_to() -> None:
    for agent, context in EVERY_CONTEXT:
        asked = request(
            agent.name,
            context=canonical(context),
            legal_actions=agent.legal_actions(context),
            impact=agent.impact(context),
        )
        made = effect_of(ruled(case_of(asked), EVERY_AGENT, DEADLINE_MS))
        assert made.impact == agent.impact({**context, CHOSEN: made.action}) not in GATED


@pytest.mark.parametrize("stakes", ["high", "critical"])
def test_a_no_to_a_grave_turn_of_the_story_lets_it_rest(stakes: Impact) -> None:
    agent = EVERY_AGENT["story_teller"]
    context = {"stakes": stakes, "day": 3, "players": 8, "deaths": 2}
    for plot in PLOTS[stakes]:
        waiting = put_to_a_person(agent, context, plot)
        no = ruled(learned(waiting, happened(approval(False)), NOW_MS), EVERY_AGENT, NOW_MS)
        silence = ruled(waiting, EVERY_AGENT, NOW_MS + APPROVAL_MS)
        assert {(effect_of(ruling).action, effect_of(ruling).impact) for ruling in (no, silence)} == {("leave", "low")}
        yes = ruled(learned(waiting, happened(approval()), NOW_MS), EVERY_AGENT, NOW_MS)
        assert (effect_of(yes).action, effect_of(yes).impact) == (plot, stakes)


def test_where_the_default_needs_a_persons_consent_too_nothing_takes_effect() -> None:
    agents = {**AGENTS, "warden": replace(AGENTS["warden"], impact=lambda context: "critical")}
    waiting = ruled(case_of(request("warden"), proposal("warden")), agents, NOW_MS)
    no = ruled(learned(waiting.case, happened(approval(False)), NOW_MS), agents, NOW_MS)
    silence = ruled(waiting.case, agents, NOW_MS + APPROVAL_MS)
    wrong = ruled(case_of(request("warden"), proposal("warden", action="burn")), agents, NOW_MS)
    for ruling, reason in ((no, "refused: by Ada: seen; "), (silence, "not_approved"), (wrong, "illegal_action")):
        assert (ruling.case.state, kinds(ruling)) == ("rejected", [DecisionRejected, DecisionClosed])
        assert ruling.facts[0].reason.startswith(reason)
        assert "nothing takes effect" in ruling.facts[0].reason
    expired = ruled(case_of(request("warden")), agents, DEADLINE_MS)
    assert (expired.case.state, kinds(expired)) == ("rejected", [DecisionRejected, DecisionClosed])


def test_the_rules_do_not_choose_what_only_a_person_may_agree_to() -> None:
    greeting = Answer("greet", AGENTS["guard"].output.model_validate_json(GREET))
    grave = replace(
        AGENTS["guard"],
        rules=lambda context: greeting,
        impact=lambda context: "high" if context.get(CHOSEN) == "greet" else "low",
    )
    made = effect_of(ruled(case_of(request()), {"guard": grave}, DEADLINE_MS))
    assert (made.action, made.impact) == ("ignore", "low")
    waiting = ruled(case_of(request(), proposal()), {"guard": grave}, NOW_MS)
    assert waiting.case.state == "awaiting_approval"


def test_a_context_cannot_make_a_grave_action_a_light_one() -> None:
    posing = request("warden", context='{"chosen":"ignore"}')
    assert ruled(case_of(posing, proposal("warden")), AGENTS, NOW_MS).case.state == "awaiting_approval"


@pytest.mark.parametrize(
    ("why", "reason"),
    [("Write to bob@example.org for it.", "personal_data"), ("Go and k1ll y0urself, hero.", "content")],
)
def test_what_our_own_workers_would_have_found_unsafe_is_refused_from_anybody(why: str, reason: str) -> None:
    foreign = proposal(content=canonical({"action": "greet", "why": why}))
    ruling = ruled(case_of(request(), foreign), AGENTS, NOW_MS)
    assert kinds(ruling) == [DecisionRejected, DecisionEffective]
    assert ruling.facts[0].reason.startswith(reason)
    assert effect_of(ruling).action == "ignore"
    assert why not in effect_of(ruling).content


def test_what_unsafe_words_the_rules_take_from_the_context_are_not_said_after_the_deadline() -> None:
    def echo(context: Context) -> Answer:
        return Answer("greet", AGENTS["guard"].output.model_validate({"action": "greet", "why": context["heard"]}))

    echoing = {"guard": replace(AGENTS["guard"], rules=echo)}
    said = {
        heard: ruled(case_of(request(context=canonical({"heard": heard}))), echoing, DEADLINE_MS)
        for heard in ("Open!", "Write to bob@example.org for it.")
    }
    assert [effect_of(ruling).action for ruling in said.values()] == ["greet", "ignore"]


def test_nobody_agrees_to_what_has_not_been_put_to_them() -> None:
    early = case_of(request("warden"), approval(), proposal("warden"))
    assert kinds(ruled(early, AGENTS, NOW_MS)) == [ApprovalRequested]


def test_a_deadline_that_passes_is_answered_by_rules_or_by_default() -> None:
    ruling = ruled(case_of(request()), AGENTS, DEADLINE_MS)
    assert kinds(ruling) == [DecisionExpired, DecisionProposed, DecisionEffective]
    assert ruling.facts[1].fallback_reason.startswith("deadline passed")
    assert effect_of(ruling).route == "rule"
    chronicle = request("chronicler", context='{"hero":"Sif","zone":"Dungeons of Doom 3","depth":3}')
    chronicle.legal_actions[:] = ["chronicle"]
    assert "Sif went down" in effect_of(ruled(case_of(chronicle), AGENTS, DEADLINE_MS)).content


def test_an_answer_that_was_in_time_counts_though_it_is_read_late_and_a_late_one_does_not() -> None:
    in_time = case_of(request(), proposal())
    assert effect_of(ruled(in_time, AGENTS, DEADLINE_MS + 5_000)).action == "greet"
    late = learned(case_of(request()), happened(proposal(), at_ms=DEADLINE_MS + 1), NOW_MS)
    assert effect_of(ruled(late, AGENTS, DEADLINE_MS + 5_000)).action == "ignore"


def test_a_proposal_without_a_request_is_rejected_after_a_time_and_the_request_is_answered_all_the_same() -> None:
    held = case_of(proposal())
    assert ruled(held, AGENTS, NOW_MS + GRACE_MS - 1).facts == ()
    rejected = ruled(held, AGENTS, NOW_MS + GRACE_MS)
    assert kinds(rejected) == [DecisionRejected]
    late = learned(rejected.case, happened(request()), NOW_MS + GRACE_MS)
    assert effect_of(ruled(late, AGENTS, NOW_MS + GRACE_MS)).action == "ignore"


def test_what_has_been_overdue_for_very_long_is_rejected() -> None:
    for asked, due_ms in (
        (case_of(request()), DEADLINE_MS),
        (case_of(request(), proposal()), DEADLINE_MS),
        (case_of(request(deadline_ms=0)), NOW_MS),
    ):
        assert DecisionEffective in kinds(ruled(asked, AGENTS, due_ms + OVERDUE_MS))
        late = ruled(asked, AGENTS, due_ms + OVERDUE_MS + 1)
        assert (late.case.state, kinds(late)) == ("rejected", [DecisionRejected, DecisionClosed])
        assert late.facts[0].reason.startswith("overdue")
    # What has been put to a person is known not to have been decided.
    waiting = ruled(case_of(request("warden"), proposal("warden")), AGENTS, NOW_MS).case
    assert effect_of(ruled(waiting, AGENTS, DEADLINE_MS + OVERDUE_MS + 1)).action == "ignore"


def test_what_does_not_keep_to_the_form_is_about_no_decision() -> None:
    assert decision_of(happened(request())) == ID
    for wrong in (
        happened(request(decision_id="")),
        happened(request(decision_id="d" * 201)),
        happened(request(decision_id="a\x00b")),
        happened(request(), subject=""),
        happened(request(), subject="x" * 257),
        Event(id=b"short", subject="astrid", decision_requested=request()),
    ):
        assert decision_of(wrong) == ""


def test_what_a_context_holds_cannot_make_an_effect_too_large_or_stop_the_court() -> None:
    deep = ['{"heard":' + "[" * depth + "]" * depth + "}" for depth in (200, 251, 252, 253, 254, 300, 1_000, 4_000)]
    for context in ('{"heard":"%s"}' % ("x" * 9_000), "[]", "no json", "null", *deep):
        made = effect_of(ruled(case_of(request(context=context)), AGENTS, DEADLINE_MS))
        assert len(made.about) < 1_001


@dataclass
class World:
    """A log, a table and a position in it, and a decide worker that may die between its log and its table."""

    log: list[Event] = field(default_factory=list)
    case: Case = field(default_factory=lambda: Case(ID, "astrid"))
    position: int = 0
    now_ms: int = NOW_MS

    def write(self, fact: Message) -> None:
        self.log.append(happened(fact, at_ms=self.now_ms, number=len(self.log)))

    def work(self, survives: int | None) -> None:
        """Read what is new and rule on it; die after `survives` facts are on the log, unless it is None."""
        case = self.case
        end = len(self.log)
        for event in self.log[self.position :]:
            case = learned(case, event, self.now_ms)
        ruling = ruled(case, AGENTS, self.now_ms)
        for number, fact in enumerate(ruling.facts):
            if survives is not None and number >= survives:
                return
            self.write(fact)
        if survives is None:
            self.case, self.position = ruling.case, end

    @property
    def effects(self) -> list[Message]:
        return [fact_of(event) for event in self.log if event.HasField("decision_effective")]


STEPS = st.one_of(
    st.sampled_from(
        [
            request(),
            request("warden"),
            proposal(),
            proposal("warden"),
            proposal(action="burn"),
            proposal(impact="high"),
            proposal(action="ignore", content=IGNORE),
            approval(),
            approval(False),
        ]
    ),
    st.integers(0, 700),
    st.tuples(st.just("work"), st.one_of(st.none(), st.integers(0, 3))),
)


@given(st.lists(STEPS, max_size=24), st.sampled_from(["guard", "warden"]))
def test_at_most_one_effect_at_any_time_and_exactly_one_after_the_deadline(steps: list[object], agent: str) -> None:
    world = World()
    for step in steps:
        if isinstance(step, Message):
            world.write(step)
        elif isinstance(step, int):
            world.now_ms += step
        elif isinstance(step, tuple):
            world.work(step[1])
        assert len(world.effects) <= 1
    world.write(request(agent))
    world.work(None)
    world.now_ms = max(world.now_ms, DEADLINE_MS)
    world.work(None)
    if world.case.state == "awaiting_approval":
        assert not world.effects
        world.now_ms = world.case.until_ms
    world.work(None)
    world.work(None)
    assert len(world.effects) == 1
    assert world.case.closed


@given(
    st.lists(st.sampled_from([request(), request("warden"), proposal(), proposal("warden"), approval()]), max_size=6),
    st.integers(1, 10 * OVERDUE_MS),
)
def test_what_is_forgotten_has_no_second_effect_whatever_is_read_of_it_again(words: list[Message], late: int) -> None:
    case, now_ms = Case(ID, "astrid"), DEADLINE_MS + OVERDUE_MS + late
    asked = ApprovalRequested(decision_id=ID, agent="warden")
    for number, fact in enumerate([asked, *words]):
        ruling = ruled(learned(case, happened(fact, number=number), now_ms), AGENTS, now_ms)
        assert DecisionEffective not in kinds(ruling)
        case, now_ms = ruling.case, now_ms + GRACE_MS


def test_only_a_person_calls_off_a_story_that_is_due() -> None:
    asked = request("story_teller", context='{"stakes":"low"}', legal_actions=["gossip", "leave"])
    quiet = proposal("story_teller", "leave", '{"action":"leave","content":"Nothing new is told today."}')
    ruling = ruled(case_of(asked, quiet), EVERY_AGENT, NOW_MS)
    assert ruling.facts[0].reason.startswith("unfit: a story is due")
    assert effect_of(ruling).action == "leave"

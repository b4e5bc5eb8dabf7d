"""Requests that are alike wait a moment for each other; whatever befalls one of them, none is left without a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Answer
from inference.attempt import Attempt, Question
from inference.batching import ENOUGH, FULLER_WAIT_MS, SIZE, WAIT_MS, WAIT_SHARE, Batches
from inference.validation import Refused
from schemas import CostSampled, DecisionRequested
from tests.inference.asking import Order, guard

GREET = Answer("greet", Order(action="greet", why="It is a friend."))
COST = CostSampled(source="ai_inference", calls=1, cost_usd_micros=7)
PAID = Attempt(GREET, (COST,))


@dataclass
class Alarm:
    at_ms: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Clock:
    """A clock that moves only when it is told to, and rings what has become due."""

    now: float = 1_000_000.0
    alarms: list[Alarm] = field(default_factory=list)

    def now_ms(self) -> int:
        return int(self.now)

    def later(self, after_ms: float, call: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + after_ms, call)
        self.alarms.append(alarm)
        return alarm

    @property
    def next_ms(self) -> float:
        """How long until it rings."""
        return min(alarm.at_ms for alarm in self.alarms if not alarm.cancelled) - self.now

    async def on(self, by_ms: float) -> None:
        self.now += by_ms
        for alarm in self.alarms:
            if not alarm.cancelled and alarm.at_ms <= self.now:
                alarm.cancelled = True
                alarm.call()
        await settled()


class Model:
    """Answers when it is let, and remembers what it was asked."""

    def __init__(self, attempt: Attempt | Exception = PAID, *, at_once: bool = True) -> None:
        self.asked: list[str] = []
        self.aborted = 0
        self.go = asyncio.Event()
        self._attempt = attempt
        if at_once:
            self.go.set()

    async def __call__(self, question: Question) -> Attempt:
        self.asked.append(question.request.decision_id)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        if isinstance(self._attempt, Exception):
            raise self._attempt
        return self._attempt


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def question(name: str, *, in_ms: float = 60_000) -> Question:
    request = DecisionRequested(decision_id=name, agent="guard", deadline_ms=int(1_000_000 + in_ms))
    return Question(guard, {}, request)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def batches(clock: Clock) -> Batches:
    return Batches(size=4, now_ms=clock.now_ms, later=clock.later)


Join = asyncio.Task[tuple[Attempt, int]]


async def joined(batches: Batches, model: Model, *names: str, group: str = "g", in_ms: float = 60_000) -> list[Join]:
    tasks = [asyncio.create_task(batches.join(group, question(name, in_ms=in_ms), model)) for name in names]
    await settled()
    return tasks


@pytest.fixture
def roomy(clock: Clock) -> Batches:
    """Batches as they are by default, in which more fit than are waited for."""
    return Batches(now_ms=clock.now_ms, later=clock.later)


def test_as_many_are_waited_for_as_save_what_is_to_be_saved() -> None:
    assert 20 / ENOUGH + 10 <= 15
    assert ENOUGH < SIZE


async def test_one_call_answers_as_many_as_fit(batches: Batches) -> None:
    model = Model()
    tasks = await joined(batches, model, "a", "b", "c", "d")
    replies = await asyncio.gather(*tasks)
    assert model.asked == ["a"]
    assert [size for _, size in replies] == [4, 4, 4, 4]
    assert all(attempt.outcome is GREET for attempt, _ in replies)


async def test_a_call_is_paid_for_once(batches: Batches) -> None:
    replies = await asyncio.gather(*await joined(batches, Model(), "a", "b", "c", "d"))
    assert [attempt.costs for attempt, _ in replies] == [(COST,), (), (), ()]


async def test_what_does_not_fill_a_batch_waits_no_longer_than_a_moment(batches: Batches, clock: Clock) -> None:
    model = Model()
    tasks = await joined(batches, model, "a", "b")
    await clock.on(WAIT_MS - 1)
    assert model.asked == []
    await clock.on(1)
    assert [size for _, size in await asyncio.gather(*tasks)] == [2, 2]


async def test_until_enough_are_together_they_wait_and_then_no_longer_than_a_moment_after_the_first(
    roomy: Batches, clock: Clock
) -> None:
    model = Model()
    tasks = await joined(roomy, model, "a")
    await clock.on(100)
    tasks += await joined(roomy, model, "b", "c")
    assert clock.next_ms == WAIT_MS - 100
    tasks += await joined(roomy, model, "d")
    assert clock.next_ms == FULLER_WAIT_MS - 100
    tasks += await joined(roomy, model, "e")
    await clock.on(FULLER_WAIT_MS - 100)
    assert [size for _, size in await asyncio.gather(*tasks)] == [5] * 5


async def test_who_makes_them_enough_after_that_moment_is_the_last_one_waited_for(roomy: Batches, clock: Clock) -> None:
    model = Model()
    tasks = await joined(roomy, model, "a", "b", "c")
    await clock.on(FULLER_WAIT_MS + 1)
    assert model.asked == []
    tasks += await joined(roomy, model, "d")
    assert clock.next_ms == 0
    await clock.on(0)
    assert [size for _, size in await asyncio.gather(*tasks)] == [4] * 4


async def test_when_they_are_no_longer_enough_they_wait_again(roomy: Batches, clock: Clock) -> None:
    model = Model()
    leaves, *stay = await joined(roomy, model, "a", "b", "c", "d")
    leaves.cancel()
    await settled()
    await clock.on(FULLER_WAIT_MS)
    assert model.asked == []
    await clock.on(WAIT_MS - FULLER_WAIT_MS)
    assert [size for _, size in await asyncio.gather(*stay)] == [3] * 3


async def test_the_haste_of_who_has_left_is_nobody_elses(batches: Batches, clock: Clock) -> None:
    model = Model()
    [stays] = await joined(batches, model, "patient")
    [leaves] = await joined(batches, model, "urgent", in_ms=500)
    leaves.cancel()
    await settled()
    assert clock.next_ms == WAIT_MS
    await clock.on(WAIT_MS)
    assert await stays == (PAID, 1)


async def test_one_alone_is_a_full_call(batches: Batches, clock: Clock) -> None:
    [task] = await joined(batches, Model(), "a")
    await clock.on(WAIT_MS)
    assert await task == (PAID, 1)


async def test_groups_do_not_mix(batches: Batches, clock: Clock) -> None:
    model = Model()
    tasks = await joined(batches, model, "a", "b") + await joined(batches, model, "c", group="other")
    await clock.on(WAIT_MS)
    assert [size for _, size in await asyncio.gather(*tasks)] == [2, 2, 1]
    assert model.asked == ["a", "c"]


async def test_nobody_waits_past_a_share_of_the_earliest_deadline(batches: Batches, clock: Clock) -> None:
    model = Model()
    tasks = await joined(batches, model, "patient") + await joined(batches, model, "urgent", in_ms=500)
    assert clock.next_ms == 500 * WAIT_SHARE
    await clock.on(500 * WAIT_SHARE)
    assert model.asked == ["urgent"]
    assert [size for _, size in await asyncio.gather(*tasks)] == [2, 2]


async def test_one_whose_deadline_is_past_is_asked_for_at_once(batches: Batches, clock: Clock) -> None:
    [task] = await joined(batches, Model(), "late", in_ms=-5)
    assert clock.next_ms == 0
    await clock.on(0)
    assert (await task)[1] == 1


async def test_while_a_call_is_being_answered_the_next_batch_fills(batches: Batches, clock: Clock) -> None:
    model = Model(at_once=False)
    first = await joined(batches, model, "a")
    await clock.on(WAIT_MS)
    second = await joined(batches, model, "b")
    await clock.on(WAIT_MS)
    second += await joined(batches, model, "c")
    assert model.asked == ["a"]
    model.go.set()
    await settled()
    await clock.on(0)
    assert model.asked == ["a", "b"]
    assert [size for _, size in await asyncio.gather(*first, *second)] == [1, 2, 2]


async def test_a_slow_call_does_not_hold_up_a_deadline(batches: Batches, clock: Clock) -> None:
    model = Model(at_once=False)
    tasks = await joined(batches, model, "a")
    await clock.on(WAIT_MS)
    tasks += await joined(batches, model, "b", in_ms=WAIT_MS + 5_000)
    await clock.on(5_000 * WAIT_SHARE)
    assert model.asked == ["a", "b"]
    model.go.set()
    assert [size for _, size in await asyncio.gather(*tasks)] == [1, 1]


async def test_a_full_batch_waits_for_no_other(batches: Batches) -> None:
    model = Model(at_once=False)
    tasks = await joined(batches, model, *"abcdefgh")
    assert model.asked == ["a", "e"]
    model.go.set()
    assert [size for _, size in await asyncio.gather(*tasks)] == [4] * 8


async def test_who_leaves_before_the_call_takes_nobody_along(batches: Batches, clock: Clock) -> None:
    model = Model()
    leaves, *stay = await joined(batches, model, "a", "b", "c")
    leaves.cancel()
    await clock.on(WAIT_MS)
    assert [size for _, size in await asyncio.gather(*stay)] == [2, 2]
    assert leaves.cancelled()
    assert model.asked == ["b"]


async def test_who_leaves_during_the_call_takes_nobody_along(batches: Batches) -> None:
    model = Model(at_once=False)
    leaves, *stay = await joined(batches, model, "a", "b", "c", "d")
    leaves.cancel()
    await settled()
    model.go.set()
    replies = await asyncio.gather(*stay)
    assert model.aborted == 0
    assert [attempt.costs for attempt, _ in replies] == [(COST,), (), ()]


async def test_a_call_that_nobody_waits_for_is_aborted(batches: Batches, clock: Clock) -> None:
    model = Model(at_once=False)
    tasks = await joined(batches, model, "a", "b", "c", "d")
    for task in tasks:
        task.cancel()
    await settled()
    assert model.aborted == 1
    [after] = await joined(batches, Model(), "e")
    await clock.on(WAIT_MS)
    assert (await after)[1] == 1


async def test_a_batch_that_all_have_left_is_never_asked(batches: Batches, clock: Clock) -> None:
    model = Model()
    [task] = await joined(batches, model, "a")
    task.cancel()
    await clock.on(WAIT_MS)
    assert model.asked == []


@pytest.mark.parametrize("fault", [Attempt(Refused("timeout", "too slow")), RuntimeError("out of memory")])
async def test_a_failed_call_is_a_refusal_to_all(batches: Batches, fault: Attempt | Exception) -> None:
    replies = await asyncio.gather(*await joined(batches, Model(fault), "a", "b", "c", "d"))
    assert {type(attempt.outcome) for attempt, _ in replies} == {Refused}
    assert len({attempt.outcome for attempt, _ in replies}) == 1


async def test_the_loop_is_the_timer_unless_told_otherwise() -> None:
    batches = Batches(size=4, wait_ms=0, now_ms=lambda: 1_000_000)
    assert await batches.join("g", question("a"), Model()) == (PAID, 1)


@dataclass(frozen=True)
class Comes:
    """One who comes some time after the one before, with so long until its deadline, and may lose patience."""

    after_ms: int
    in_ms: int
    leaves_after_ms: int | None


COMES = st.builds(
    Comes,
    after_ms=st.integers(0, 700),
    in_ms=st.integers(-10, 20_000),
    leaves_after_ms=st.none() | st.none() | st.integers(0, 1_500),
)


@given(coming=st.lists(COMES, min_size=1, max_size=20))
def test_whoever_comes_and_goes_those_who_stay_are_answered_in_time_and_together(coming: list[Comes]) -> None:
    asyncio.run(_come_and_go(coming))


async def _come_and_go(coming: list[Comes]) -> None:
    clock, asked_at_ms = Clock(), dict[str, float]()
    batches = Batches(now_ms=clock.now_ms, later=clock.later)
    came_at_ms, latest_ms, tasks = dict[str, float](), dict[str, float](), dict[str, Join]()

    async def ask(question: Question) -> Attempt:
        asked_at_ms[question.request.decision_id] = clock.now
        return replace(PAID, asked=question.request.decision_id)

    for number, one in enumerate(coming):
        await _pass(clock, one.after_ms)
        name, deadline_ms = str(number), clock.now + one.in_ms
        came_at_ms[name], latest_ms[name] = clock.now, clock.now + WAIT_SHARE * max(0, one.in_ms)
        wants = question(name, in_ms=deadline_ms - 1_000_000)
        tasks[name] = asyncio.create_task(batches.join("g", wants, ask))
        if one.leaves_after_ms is not None:
            clock.later(one.leaves_after_ms, tasks[name].cancel)
        await settled()
    await _pass(clock, WAIT_MS)
    stayed = {name: task.result() for name, task in tasks.items() if task.done() and not task.cancelled()}
    assert all(task.done() for task in tasks.values())
    for calls_for in {attempt.asked for attempt, _ in stayed.values()}:
        members = [name for name, (attempt, _) in stayed.items() if attempt.asked == calls_for]
        [size] = {size for attempt, size in stayed.values() if attempt.asked == calls_for}
        came = sorted(came_at_ms[name] for name in members)
        assert len(members) == size <= SIZE
        assert sum(bool(stayed[name][0].costs) for name in members) == 1
        # Alarms ring on the millisecond after.
        at_ms = asked_at_ms[calls_for] - 1
        assert at_ms <= min(latest_ms[name] for name in members)
        assert at_ms <= came[0] + WAIT_MS
        if size >= ENOUGH:
            assert at_ms <= max(came[0] + FULLER_WAIT_MS, came[ENOUGH - 1])


async def _pass(clock: Clock, ms: float) -> None:
    """Let time pass, as far as each alarm."""
    until_ms = clock.now + ms
    while ms and any(not alarm.cancelled and alarm.at_ms <= until_ms for alarm in clock.alarms):
        await clock.on(max(0.0, clock.next_ms))
    await clock.on(until_ms - clock.now)

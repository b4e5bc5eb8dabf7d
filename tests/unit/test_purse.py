"""A worker's purse: it asks ahead, waits only when it must, gives back what it does not use, and stops at a cap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message

from inference.budget import Budget, Cap, ask, returned
from inference.purse import Reservation
from inference.validation import Refused
from schemas import BudgetAsked, BudgetReturned, Event, fact_name
from streams.purse import CALLS_PER_ASK, DRAWN_UNTIL_MS, HELD_MS, LogPurse
from streams.sdk.outbox import BufferFull

NOW_MS = 1_800_000_000_000


class Writer:
    """The budget's writer and the log between, without either: verdicts come when `answer` is called."""

    def __init__(self, *caps: Cap) -> None:
        self.caps = caps
        self.budget = Budget()
        self.asked: list[BudgetAsked] = []
        self.returned: list[BudgetReturned] = []
        self.now_ms = NOW_MS
        self.full = False
        self.purse = LogPurse("nowhere:1", self, holder="w", now_ms=lambda: self.now_ms)
        self.purse._listening.set()
        self._unanswered: list[BudgetAsked] = []

    def publish(self, fact: Message, **_: Any) -> bytes:
        if self.full:
            raise BufferFull("memory and disk are full")
        if isinstance(fact, BudgetAsked):
            self.asked.append(fact)
            self._unanswered.append(fact)
        elif isinstance(fact, BudgetReturned):
            self.returned.append(fact)
            self.budget, _settled = returned(self.budget, fact)
        return b""

    def flush(self, timeout_s: float) -> int:
        return 0

    def answer(self) -> None:
        while self._unanswered:
            self.budget, verdict = ask(self.budget, self.caps, self._unanswered.pop(0), self.now_ms)
            event = Event()
            getattr(event, fact_name(verdict)).CopyFrom(verdict)
            self.purse._hear(event.SerializeToString())

    async def take(self, worst_usd_micros: int = 100, agent: str = "karma", calls: int = 1) -> Reservation | Refused:
        taking = asyncio.create_task(self.purse.take(agent, "gold", worst_usd_micros, calls=calls, within_ms=5_000))
        while not taking.done():
            await asyncio.sleep(0)
            self.answer()
        return await taking


async def test_one_ask_serves_many_calls_and_the_next_is_under_way_before_it_is_used_up() -> None:
    writer = Writer()
    for _ in range(CALLS_PER_ASK // 2):
        assert isinstance(await writer.take(), Reservation)
    assert len(writer.asked) == 1
    await writer.take()
    assert [one.calls for one in writer.asked] == [CALLS_PER_ASK, CALLS_PER_ASK]


async def test_what_is_used_up_is_returned_with_what_it_has_cost() -> None:
    writer = Writer()
    for _ in range(CALLS_PER_ASK):
        reservation = await writer.take()
        assert isinstance(reservation, Reservation)
        writer.purse.settle(reservation, 30, 1)
    [back] = writer.returned
    assert (back.calls, back.usd_micros) == (CALLS_PER_ASK, CALLS_PER_ASK * 30)
    assert writer.budget.used(Cap("total", "hour"), "karma", "gold", NOW_MS).usd_micros >= CALLS_PER_ASK * 30


async def test_near_a_cap_where_eight_calls_do_not_fit_one_still_may() -> None:
    writer = Writer(Cap("total", "hour", calls=3))
    taken = [await writer.take() for _ in range(4)]
    assert [isinstance(one, Reservation) for one in taken] == [True, True, True, False]
    assert isinstance(taken[3], Refused)
    assert (taken[3].reason, taken[3].detail) == ("budget", "total per hour: 4 calls of 3")


async def test_what_may_take_several_calls_reserves_them_and_gives_back_those_it_did_not_make() -> None:
    writer = Writer()
    for _ in range(CALLS_PER_ASK - 3):
        reservation = await writer.take(400, calls=4)
        assert isinstance(reservation, Reservation)
        assert (reservation.calls, reservation.usd_micros) == (4, 400)
        writer.purse.settle(reservation, 30, 1)
    assert {(one.calls, one.usd_micros) for one in writer.asked} == {(CALLS_PER_ASK, 800)}
    used = writer.budget.used(Cap("total", "hour"), "karma", "gold", NOW_MS)
    assert used.calls == len(writer.asked) * CALLS_PER_ASK


async def test_an_attempt_that_may_take_more_calls_than_an_ask_is_asked_for_by_itself() -> None:
    writer = Writer(Cap("total", "hour", calls=12))
    first, second = await writer.take(700, calls=12), await writer.take(700, calls=12)
    assert isinstance(first, Reservation)
    assert isinstance(second, Refused)
    assert second.detail == "total per hour: 24 calls of 12"


async def test_near_a_cap_where_several_attempts_do_not_fit_one_still_may() -> None:
    writer = Writer(Cap("total", "hour", calls=4))
    assert isinstance(await writer.take(400, calls=4), Reservation)
    assert [one.calls for one in writer.asked] == [CALLS_PER_ASK, 4]


async def test_a_refused_agent_does_not_ask_again_at_once_and_another_agent_may() -> None:
    writer = Writer(Cap("agent", "hour", "karma", calls=0))
    assert isinstance(await writer.take(), Refused)
    asked = len(writer.asked)
    assert isinstance(await writer.take(), Refused)
    assert len(writer.asked) == asked
    assert isinstance(await writer.take(agent="weather"), Reservation)


async def test_without_a_writer_the_call_is_refused_in_time() -> None:
    writer = Writer()
    refused = await writer.purse.take("karma", "gold", 100, within_ms=20)
    assert isinstance(refused, Refused)
    assert refused.reason == "budget_timeout"


async def test_a_reservation_near_its_end_is_given_back_and_asked_for_anew() -> None:
    writer = Writer()
    reservation = await writer.take()
    assert isinstance(reservation, Reservation)
    writer.purse.settle(reservation, 30, 1)
    writer.now_ms += HELD_MS - DRAWN_UNTIL_MS
    again = await writer.take()
    assert isinstance(again, Reservation)
    assert again.ask_id != reservation.ask_id
    assert [(one.calls, one.usd_micros) for one in writer.returned] == [(1, 30)]


async def test_a_call_that_costs_more_than_what_is_left_is_asked_for_by_itself() -> None:
    writer = Writer()
    await writer.take(100)
    dear = await writer.take(100_000)
    assert isinstance(dear, Reservation)
    assert [one.usd_micros for one in writer.asked] == [100 * CALLS_PER_ASK, 100_000 * CALLS_PER_ASK]


async def test_verdicts_on_others_asks_and_rubbish_are_not_ours() -> None:
    writer = Writer()
    writer.purse._hear(b"\xff\xff rubbish")
    writer.purse._hear(b"")
    taking = asyncio.create_task(writer.purse.take("karma", "gold", 100, within_ms=5_000))
    await asyncio.sleep(0)
    [asked] = writer.asked
    stranger = Event()
    stranger.budget_refused.ask_id, stranger.budget_refused.holder = asked.ask_id, "somebody else"
    writer.purse._hear(stranger.SerializeToString())
    writer.answer()
    assert isinstance(await taking, Reservation)


async def test_what_is_reserved_in_one_tier_is_not_spent_in_another() -> None:
    writer = Writer()
    gold = await writer.take()
    taking = asyncio.create_task(writer.purse.take("karma", "silver", 100, within_ms=5_000))
    await asyncio.sleep(0)
    writer.answer()
    silver = await taking
    assert isinstance(gold, Reservation)
    assert isinstance(silver, Reservation)
    assert {one.ask_id: one.tier for one in writer.asked} == {gold.ask_id: "gold", silver.ask_id: "silver"}


async def test_a_log_that_takes_no_more_refuses_the_call_and_nobody_waits_for_an_ask_that_was_never_put() -> None:
    writer = Writer()
    writer.full = True
    refused = await writer.purse.take("karma", "gold", 100, within_ms=5_000)
    assert isinstance(refused, Refused)
    assert refused.reason == BufferFull.reason
    writer.full = False
    assert isinstance(await writer.take(), Reservation)
    assert len(writer.asked) == 1


async def test_a_reservation_that_cannot_be_returned_costs_no_answer() -> None:
    writer = Writer(Cap("total", "hour", calls=1))
    reservation = await writer.take()
    assert isinstance(reservation, Reservation)
    writer.full = True
    writer.purse.settle(reservation, 30, 1)
    assert writer.returned == []


async def test_a_crowd_that_waits_for_one_agent_is_served_to_the_last() -> None:
    writer = Writer()
    crowd = [asyncio.create_task(writer.purse.take("karma", "gold", 1, within_ms=60_000)) for _ in range(100)]
    while not all(one.done() for one in crowd):
        await asyncio.sleep(0)
        writer.answer()
    assert all(isinstance(one.result(), Reservation) for one in crowd)


def test_a_message_that_comes_when_the_loop_is_closed_is_not_an_error_once_it_stops() -> None:
    purse = LogPurse("nowhere:1", Writer(), holder="w", now_ms=lambda: NOW_MS)
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError):
        purse._tell(loop, print)
    purse._stopping.set()
    purse._tell(loop, print)


@pytest.mark.parametrize("set_by_ms", [-3_600_000, 86_400_000])
async def test_a_clock_that_is_set_neither_ends_nor_stretches_what_is_reserved(set_by_ms: int) -> None:
    writer, running_ms = Writer(), 5_000
    writer.purse = LogPurse(
        "nowhere:1", writer, holder="w", now_ms=lambda: writer.now_ms, running_ms=lambda: running_ms
    )
    writer.purse._listening.set()
    assert isinstance(await writer.take(), Reservation)
    writer.now_ms += set_by_ms
    assert isinstance(await writer.take(), Reservation)
    assert len(writer.asked) == 1
    running_ms += HELD_MS - DRAWN_UNTIL_MS
    assert isinstance(await writer.take(), Reservation)
    # Stamps do not go back with their clock, so neither does what is told for a stamp's sake.
    assert [one.until_ms for one in writer.asked] == [NOW_MS + HELD_MS, NOW_MS + HELD_MS + max(0, set_by_ms)]

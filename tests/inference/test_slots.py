"""Slots: never more in work than there are places, and the most urgent who waits goes first."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.slots import NoTime, Pace, Slots, Urgency
from schemas import TIERS

URGENCIES = st.builds(Urgency, st.integers(0, 2), st.integers(0, 9))


@given(slots=st.integers(1, 5), wanted=st.lists(st.tuples(URGENCIES, st.booleans()), max_size=12), shared=st.booleans())
def test_everybody_gets_a_turn_or_gives_up_and_no_place_is_lent_twice_or_lost(
    slots: int, wanted: list[tuple[Urgency, bool]], shared: bool
) -> None:
    async def run() -> None:
        places = Slots(slots, serves_first=shared)
        inside = 0

        async def take(urgency: Urgency) -> Urgency:
            nonlocal inside
            async with places.turn(urgency):
                inside += 1
                try:
                    assert inside <= slots
                    await asyncio.sleep(0)
                finally:
                    inside -= 1
            return urgency

        tasks = [asyncio.create_task(take(urgency)) for urgency, _ in wanted]
        for task, (_, gives_up) in zip(tasks, wanted, strict=True):
            await asyncio.sleep(0)
            if gives_up:
                task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for result, (urgency, gives_up) in zip(done, wanted, strict=True):
            assert result == urgency or (gives_up and isinstance(result, asyncio.CancelledError))
        assert places.free == slots

    asyncio.run(run())


@given(waiting=st.permutations([Urgency(rank, deadline) for rank in range(3) for deadline in range(3)]))
def test_the_most_urgent_goes_first_however_they_came(waiting: list[Urgency]) -> None:
    async def run() -> list[Urgency]:
        places, order = Slots(1), []

        async def take(urgency: Urgency) -> None:
            async with places.turn(urgency):
                order.append(urgency)

        async with places.turn(Urgency(2, 99)):
            tasks = [asyncio.create_task(take(urgency)) for urgency in waiting]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == sorted(waiting)


async def test_a_quarter_of_an_engine_that_serves_gold_too_is_lent_to_nobody_else() -> None:
    places = Slots(8, serves_first=True)
    bronze = [asyncio.create_task(places.acquire(Urgency.of("bronze", 1))) for _ in range(8)]
    await asyncio.sleep(0)
    assert places.free == 2
    await places.acquire(Urgency.of("gold", 1))
    await places.acquire(Urgency.of("gold", 1))
    assert places.free == 0
    places.release()
    await asyncio.sleep(0)
    assert sum(task.done() for task in bronze) == 6
    for _ in range(2):
        places.release()
        await asyncio.sleep(0)
    assert sum(task.done() for task in bronze) == 7
    for task in bronze:
        task.cancel()


def test_the_tiers_are_in_their_order() -> None:
    assert [Urgency.of(tier, 0).rank for tier in TIERS] == [0, 1, 2]


def test_what_an_engine_cannot_finish_in_time_is_not_begun_and_is_tried_again_after_a_while() -> None:
    pace = Pace()
    pace.check(1)
    for _ in range(30):
        pace.took(2_000)
    pace.check(2_000)
    with pytest.raises(NoTime, match="1500 ms are left"):
        pace.check(1_500)
    refused = 1
    while True:
        try:
            pace.check(1_500)
        except NoTime:
            refused += 1
        else:
            break
    assert 1 < refused < 20


def test_the_usual_time_follows_the_latest_answers() -> None:
    pace = Pace()
    for duration_ms in (2_000,) * 30 + (200,) * 30:
        pace.took(duration_ms)
    assert 200 <= pace.usual_ms < 210

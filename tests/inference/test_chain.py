"""The chain: who is asked after whom, who is passed over, and that the end of it is a refusal in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from inference.bill import Bill, worst_of_call
from inference.breaker import RateBreaker, RunBreaker
from inference.budget import Amount
from inference.chain import TIME_SHARE, Chain, ChainBusy, ChainRefused
from inference.engines import Completion, Engine, EngineBusy, EngineRefused, EngineTimeout, QueueFull, Scripted
from inference.guarded import LIMIT_SHARE, BreakerOpen, Guarded
from inference.prices import LISTED
from inference.prompts import Prompt
from tests.inference.asking import NOW_MS
from tests.inference.providing import CHOSEN, asking


class Time:
    """A clock that is told what time it is."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms


def named(engine: Scripted, name: str) -> Scripted:
    engine.name = name  # type: ignore[misc]
    return engine


def chained(engines: Sequence[Engine], time: Time | None = None) -> Chain:
    now_ms = (time or Time()).now_ms
    return Chain([Guarded(engine, [RateBreaker(), RunBreaker()], now_ms=now_ms) for engine in engines], now_ms=now_ms)


async def test_the_first_that_answers_is_named_and_nobody_after_it_is_asked() -> None:
    first = named(Scripted([EngineBusy("no")], model="deepseek-chat"), "deepseek")
    second = named(Scripted([CHOSEN], model="gpt-4o-mini"), "openai")
    third = Scripted([])
    chain = chained([first, second, third])
    done = await chain.complete(asking())
    assert (done.text, done.engine, done.model) == (CHOSEN, "openai", "gpt-4o-mini")
    assert third.asked == []
    assert chain.models == ("deepseek-chat", "gpt-4o-mini", "scripted")


async def test_who_answered_inside_a_chain_in_a_chain_is_named() -> None:
    inner = named(Scripted([CHOSEN], model="gpt-4o-mini"), "openai")
    done = await chained([chained([inner])]).complete(asking())
    assert (done.engine, done.model) == ("openai", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("failures", "error"),
    [
        ([EngineBusy("busy"), EngineRefused("no key")], ChainBusy),
        ([EngineRefused("too long"), EngineRefused("no key")], ChainRefused),
        ([EngineBusy("busy"), ValueError("a bug")], ValueError),
        ([QueueFull("full")], QueueFull),
    ],
)
async def test_when_none_answers_the_end_is_a_refusal_that_says_why(
    failures: list[Exception], error: type[Exception]
) -> None:
    with pytest.raises(error, match=str(failures[-1])):
        await chained([Scripted([failure]) for failure in failures]).complete(asking())


async def test_one_that_keeps_failing_is_left_alone_and_tried_again_later() -> None:
    time = Time()
    ill, well = Scripted(lambda prompt: EngineBusy("ill")), Scripted(lambda prompt: CHOSEN)
    chain = chained([ill, well], time)
    for _ in range(8):
        await chain.complete(asking())
    assert (len(ill.asked), len(well.asked)) == (5, 8)
    time.ms += 60_000
    for _ in range(3):
        await chain.complete(asking())
    assert len(ill.asked) == 6


async def test_alone_and_left_alone_it_says_so() -> None:
    chain = chained([Scripted(lambda prompt: EngineBusy("ill"))])
    for _ in range(5):
        with pytest.raises(EngineBusy, match="ill"):
            await chain.complete(asking())
    with pytest.raises(BreakerOpen, match="failed too often"):
        await chain.complete(asking())


async def test_a_full_queue_and_a_caller_who_changed_his_mind_are_no_failures() -> None:
    full = Scripted(lambda prompt: QueueFull("full"))
    chain = chained([full])
    for _ in range(20):
        with pytest.raises(QueueFull):
            await chain.complete(asking())
    assert len(full.asked) == 20
    hanging = Scripted([], wait=asyncio.Event())
    slow = chained([hanging])
    for number in range(10):
        call = asyncio.create_task(slow.complete(asking()))
        while len(hanging.asked) <= number:
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert hanging.aborted == 10


async def test_one_that_hangs_is_a_failure_and_leaves_time_for_the_next() -> None:
    hanging, well = Scripted([], wait=asyncio.Event()), Scripted(lambda prompt: CHOSEN)
    chain = chained([hanging, well])
    for _ in range(6):
        assert (await chain.complete(asking(allowed_ms=50))).text == CHOSEN
    assert (len(hanging.asked), hanging.aborted) == (5, 5)
    assert hanging.asked[0].allowed_ms == int(int(50 * TIME_SHARE) * LIMIT_SHARE)
    with pytest.raises(EngineTimeout):
        await chained([Scripted([], wait=asyncio.Event())]).complete(asking(allowed_ms=20))


async def test_each_gets_its_share_of_what_is_left_and_the_last_gets_all_of_it() -> None:
    time = Time()

    def late(prompt: Prompt) -> EngineBusy:
        time.ms += 1_000
        return EngineBusy("busy")

    engines = [Scripted(late), Scripted(late), Scripted([CHOSEN])]
    await chained(engines, time).complete(asking(allowed_ms=10_000))
    allowed = [engine.asked[0].allowed_ms for engine in engines]
    assert allowed == [int(ms * LIMIT_SHARE) for ms in (10_000 * TIME_SHARE, 9_000 * TIME_SHARE, 8_000)]


async def test_no_time_is_left_for_one_that_will_not_be_asked() -> None:
    first, dear = Scripted(lambda prompt: CHOSEN, model="deepseek-chat"), Scripted([], model="grok-beta")
    prompt = asking(allowed_ms=10_000)
    poor = replace(prompt, bill=Bill(Amount(1, worst_of_call("deepseek-chat", prompt, 0, LISTED))))
    await chained([first, dear]).complete(poor)
    ill = Scripted(lambda prompt: EngineRefused("no key"))
    chain = chained([ill, first, ill])
    for _ in range(3):
        await chain.complete(prompt)
    for _ in range(3):
        with pytest.raises(EngineRefused):
            await chain._engines[2].complete(prompt)
    assert chain._engines[2].open is False
    for _ in range(2):
        with pytest.raises(EngineRefused):
            await chain._engines[2].complete(prompt)
    await chain.complete(prompt)
    shares = [one.allowed_ms for one in first.asked]
    all_of_it, part = int(10_000 * LIMIT_SHARE), int(10_000 * TIME_SHARE * LIMIT_SHARE)
    assert shares == [all_of_it, *[part] * 3, all_of_it]


async def test_when_time_is_up_nobody_else_is_asked() -> None:
    time, second = Time(), Scripted([CHOSEN])

    def too_late(prompt: Prompt) -> EngineBusy:
        time.ms += 10_000
        return EngineBusy("busy")

    with pytest.raises(EngineBusy):
        await chained([Scripted(too_late), second], time).complete(asking(allowed_ms=10_000))
    assert second.asked == []


async def test_who_gets_its_slot_when_time_is_up_is_not_asked() -> None:
    time, go = Time(), asyncio.Event()
    one = Scripted(lambda prompt: CHOSEN, slots=1, wait=go)
    chain = chained([one], time)
    first = asyncio.create_task(chain.complete(asking()))
    await asyncio.sleep(0)
    second = asyncio.create_task(chain.complete(asking()))
    await asyncio.sleep(0)
    time.ms += 20_000
    go.set()
    await first
    with pytest.raises(EngineBusy, match="no free slot"):
        await second
    assert len(one.asked) == 1


async def test_no_engine_is_asked_more_than_it_has_slots_and_the_next_takes_the_rest() -> None:
    narrow, wide = Scripted([], slots=1, wait=asyncio.Event()), Scripted(lambda prompt: CHOSEN)
    chain = chained([narrow, wide])
    assert chain.slots == wide.slots
    done = await asyncio.gather(*(chain.complete(asking(allowed_ms=60)) for _ in range(4)))
    assert [one.text for one in done] == [CHOSEN] * 4
    assert len(narrow.asked) < 4


class Broken(Scripted):
    """An engine that cannot be started, nor closed."""

    async def start(self) -> None:
        raise EngineRefused("the weights are missing")

    async def close(self) -> None:
        self.closed = True
        raise EngineBusy("it hangs")


async def test_a_chain_starts_as_long_as_one_of_it_does_and_closes_all() -> None:
    first, second = Broken([]), Broken([])
    await chained([first, Scripted([])]).start()
    with pytest.raises(EngineRefused, match="weights are missing"):
        await chained([first, second]).start()
    with pytest.raises(EngineBusy, match="it hangs"):
        await chained([first, second]).close()
    assert (first.closed, second.closed) == (True, True)


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(EngineRefused):
        chained([])


async def test_a_guard_lets_through_what_its_engine_says() -> None:
    whole = Completion(CHOSEN, 1, 2, 3, "stop", confidence=0.5)
    guarded = Guarded(Scripted([whole]), [RateBreaker()], now_ms=Time().now_ms)
    assert await guarded.complete(asking()) == whole
    assert not guarded.open


async def test_when_one_breaker_keeps_a_call_out_the_other_has_not_spent_its_trial() -> None:
    time, short, long = Time(), RateBreaker(), RunBreaker()
    engine = Scripted(lambda prompt: EngineBusy("ill"))
    guarded = Guarded(engine, [short, long], now_ms=time.now_ms)
    for _ in range(5):
        with pytest.raises(EngineBusy, match="ill"):
            await guarded.complete(asking())
    time.ms += short.open_ms
    with pytest.raises(BreakerOpen):
        await guarded.complete(asking())
    assert short.state(time.ms) == "half_open"
    assert short.begin(time.ms) is not None

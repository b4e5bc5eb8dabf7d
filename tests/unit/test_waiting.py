"""Waiting ends as soon as the condition holds, and says what never happened."""

from __future__ import annotations

import pytest

from tests.waiting import eventually, eventually_async


def test_the_value_that_was_waited_for_is_given() -> None:
    answers = iter([0, None, "", "there"])
    assert eventually(lambda: next(answers)) == "there"


def test_an_assertion_that_fails_means_not_yet() -> None:
    counts = iter(range(5))

    def condition() -> bool:
        assert next(counts) >= 3
        return True

    assert eventually(condition)


def test_what_never_happens_is_named_with_what_was_seen() -> None:
    with pytest.raises(AssertionError, match=r"still not: the moon is square \(last seen: \[\]\)"):
        eventually(list, 0.05, "the moon is square")


async def test_a_condition_may_be_awaited_or_not() -> None:
    counts = iter(range(9))

    async def later() -> bool:
        return next(counts) > 2

    assert await eventually_async(later)
    assert await eventually_async(lambda: next(counts) > 4)
    with pytest.raises(AssertionError, match="still not: pigs fly"):
        await eventually_async(lambda: False, 0.05, "pigs fly")

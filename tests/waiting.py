"""Waiting on a condition: as short as it takes, as long as it may, and with a word about what never happened."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Short enough that a test is over soon after the condition holds, long enough to leave the core to the servers.
ASK_EVERY_S = 0.02
#: A limit costs nothing where the condition comes about, so it is one that no busy machine exceeds; and it is well
#: below a test's own, so that what was waited for is told.
WITHIN_S = 60.0


def eventually(condition: Callable[[], T], timeout_s: float = WITHIN_S, message: str = "") -> T:
    """The condition's value as soon as it is true; an assertion that fails inside it means "not yet".

    Fails the test after `timeout_s`, saying what was waited for and what was seen last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value, seen = _ask(condition)
        if value:
            return value  # type: ignore[return-value]
        _check(deadline, timeout_s, condition, message, seen)
        time.sleep(ASK_EVERY_S)


async def eventually_async(
    condition: Callable[[], T] | Callable[[], Awaitable[T]], timeout_s: float = WITHIN_S, message: str = ""
) -> T:
    """As `eventually`, for a condition that may have to be awaited, without holding up the loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        value, seen = _ask(condition)
        if inspect.isawaitable(value):
            try:
                value = seen = await value
            except AssertionError as not_yet:
                value, seen = None, not_yet
        if value:
            return value  # type: ignore[return-value]
        _check(deadline, timeout_s, condition, message, seen)
        await asyncio.sleep(ASK_EVERY_S)


def _ask(condition: Callable[[], object]) -> tuple[object, object]:
    try:
        value = condition()
    except AssertionError as not_yet:
        return None, not_yet
    return value, value


def _check(deadline: float, timeout_s: float, condition: object, message: str, seen: object) -> None:
    if time.monotonic() > deadline:
        what = message or getattr(condition, "__name__", "the condition")
        raise AssertionError(f"after {timeout_s:g} s still not: {what} (last seen: {seen!r})")

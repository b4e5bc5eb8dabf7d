"""Caps as the settings give them: checked, and put in the place of those that hold otherwise, one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from inference.budget import USD_MICROS_MAX, Cap
from schemas import TIERS

FIELDS = tuple(field.name for field in fields(Cap))


def check_fields(given: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError for a cap with a field that no cap has, or a figure that is no whole number from 0."""
    for number, cap in enumerate(given, start=1):
        for name, value in cap.items():
            if name not in FIELDS:
                raise ValueError(f"cap {number} has a {name!r}: a cap has {', '.join(FIELDS)}")
            if name in ("usd_micros", "calls") and (type(value) is not int or not 0 <= value <= USD_MICROS_MAX):
                unit = "micro-dollars (2 dollars are 2000000)" if name == "usd_micros" else "calls"
                raise ValueError(f"cap {number}: {name} is a whole number of {unit} from 0, not {value!r}")


def check(caps: Sequence[Cap], agents: Collection[str]) -> None:
    """Raise ValueError for a cap that would limit nothing: an unknown name, no figure, or the same twice."""
    known = {"agent": agents, "tier": TIERS}
    for number, cap in enumerate(caps, start=1):
        if cap.usd_micros is None and cap.calls is None:
            raise ValueError(f"cap {number} ({cap}) limits nothing: give it usd_micros, calls or both")
        if cap.name and cap.scope == "total":
            raise ValueError(f"cap {number} is on all calls together and takes no name, such as {cap.name[:40]!r}")
        if cap.name and cap.name not in known[cap.scope]:
            raise ValueError(
                f"cap {number}: no {cap.scope} is named {cap.name[:40]!r}: there are {', '.join(known[cap.scope])}"
            )
        if any(_place(other) == _place(cap) for other in caps[: number - 1]):
            raise ValueError(f"cap {number} ({cap}) is there already: write its figures into one")


def replaced(caps: Sequence[Cap], given: Sequence[Cap]) -> tuple[Cap, ...]:
    """The caps, each figure that is given in the place of its own, and what is new added; no other is lost."""
    ours = {_place(cap): cap for cap in caps}
    for cap in given:
        figures = {name: getattr(cap, name) for name in ("usd_micros", "calls") if getattr(cap, name) is not None}
        ours[_place(cap)] = replace(ours.get(_place(cap), cap), **figures)
    return tuple(ours.values())


def _place(cap: Cap) -> tuple[str, str, str]:
    return cap.scope, cap.period, cap.name

"""Small worlds for the folds: events that meet on few keys, regions and stamps, so that ties are common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from projections import PROJECTIONS
from projections.crdt import (
    Bag,
    Balance,
    BoundedBalance,
    First,
    Grow,
    Highest,
    Keyed,
    Latest,
    Lowest,
    Progress,
    Status,
)
from projections.projection import Projection
from schemas import (
    FACTS,
    DecisionProposed,
    DecisionRequested,
    Event,
    FlagSet,
    GoldGained,
    GoldSpent,
    HealthChanged,
    ItemGained,
    ItemLost,
    ObjectiveCompleted,
    PlaceEntered,
    PlayerDied,
    PlayerMoved,
)
from schemas.stamps import pack

SUBJECTS = ("hero-1", "hero-2", "Zoë")
REGIONS = ("ap", "eu", "us")
# Both sides of an hour, equal stamps, and the stamp of a clock that was never set.
STAMPS = (0, pack(3_599_999, 65_535), pack(3_600_000), pack(1_700_000_000_000), pack(1_700_000_000_000, 1))
WORDS = ("", "a", "b", "Zoë", "\U0001f5e1 sword", 'it\'s "quoted"')
WHOLES = (0, 1, 2, 7, 2**31, 2**41)
REALS = (0.0, -0.0, 1.5, -2.25, 1e300, 5e-324)

#: Every kind of CRDT, those that no projection in the catalog uses too, under keys of one and of several parts.
heroes = Projection(
    "heroes",
    key="subject",
    place=Latest(PlayerMoved, "zone", "x", "y"),
    birth=First(HealthChanged, "health"),
    deepest=Highest(PlayerDied, "depth"),
    weakest=Lowest(HealthChanged, "health_max"),
    steps=Grow(PlayerMoved),
    gold=Balance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount")),
    purse=BoundedBalance(plus=(GoldGained, "amount"), minus=(GoldSpent, "amount")),
    bag=Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id"), quantity="quantity", detail="kind"),
    things=Bag(add=(ItemGained, "item_id"), remove=(ItemLost, "item_id")),
    visited=Keyed(
        entry=("zone", "depth"),
        visits=Grow(PlaceEntered),
        deaths=Grow(PlayerDied),
        deepest=Highest(PlaceEntered, "depth"),
    ),
    lore=Progress(objectives=(ObjectiveCompleted, "objective"), flags=(FlagSet, "flag", "value")),
    answer=Status(asked=DecisionRequested, answered=DecisionProposed),
)
hours = Projection(
    "hours",
    key=("hour", "zone"),
    place=Latest(PlaceEntered, "depth"),
    deaths=Keyed(entry="killer", deaths=Grow(PlayerDied), depth=Lowest(PlayerDied, "depth")),
)
WORLD = (*PROJECTIONS, heroes, hours)


def _pick(field: FieldDescriptor, choice: int) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return WORDS[choice % len(WORDS)]
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return REALS[choice % len(REALS)]
    whole = WHOLES[choice % len(WHOLES)]
    if field.type == FieldDescriptor.TYPE_UINT32:
        return min(whole, 2**32 - 1)
    return whole if field.type == FieldDescriptor.TYPE_UINT64 else min(whole, 2**31) - 2**30


def _event(fact: str, subject: str, region: str, stamp: int, choices: Sequence[int]) -> Event:
    fields = [field for field in FACTS[fact].DESCRIPTOR.fields if not field.is_repeated]
    values = {
        field.name: _pick(field, choices[at % len(choices)] + at // len(choices)) for at, field in enumerate(fields)
    }
    return Event(subject=subject, region=region, stamp=stamp, **{fact: FACTS[fact](**values)})


def events(facts: Iterable[str], least: int = 0, most: int = 40) -> SearchStrategy[list[Event]]:
    """Lists of events of these facts, that no face refuses; about twice as many as the least."""
    one = st.builds(
        _event,
        fact=st.sampled_from(sorted(facts)),
        subject=st.sampled_from(SUBJECTS),
        region=st.sampled_from(REGIONS),
        stamp=st.sampled_from(STAMPS),
        choices=st.tuples(*[st.integers(0, 5)] * 3),
    )
    return st.lists(one, min_size=least, max_size=most)


def split(events: Sequence[Event], cuts: Iterable[int]) -> list[list[Event]]:
    """The events in batches, cut after these places."""
    places = sorted({cut for cut in cuts if 0 < cut < len(events)})
    return [list(events[low:high]) for low, high in zip([0, *places], [*places, len(events)], strict=True)]


#: How many of each region's events a replica has seen.
SEEN = st.fixed_dictionaries({region: st.integers(0, 20) for region in REGIONS})


def seen_of(events: Sequence[Event], seen: dict[str, int]) -> list[Event]:
    """The events that such a replica has seen: those of one region come in one order."""
    left, found = dict(seen), []
    for event in events:
        left[event.region] -= 1
        if left[event.region] >= 0:
            found.append(event)
    return found

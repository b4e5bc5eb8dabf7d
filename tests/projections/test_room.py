"""Room: what fits a row's sums is added, what does not is left out, whatever surrounds it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from projections.catalog.players import players
from projections.fold import Fold
from projections.room import fitting, sums
from schemas import Event, GoldGained, GoldSpent
from schemas.limits import NUMBER_MAX, QUANTITY_MAX

FOLD = Fold([players])
[TABLE] = [table for table in FOLD.tables if table.name == "players"]
COLUMNS = sums(TABLE)


def event(subject: str, amount: int) -> Event:
    made = Event(subject=subject, region="local", origin="o", sequence=1)
    if amount < 0:
        made.gold_spent.CopyFrom(GoldSpent(amount=-amount))
    else:
        made.gold_gained.CopyFrom(GoldGained(amount=amount))
    return made


def standing(value: int) -> dict[tuple[str, str], list[int]]:
    return {("full", "local"): [value if "gold" in name else 0 for name in COLUMNS]}


@given(st.lists(st.tuples(st.sampled_from(["full", "other"]), st.integers(0, QUANTITY_MAX)), max_size=40))
def test_what_fits_is_what_fits_one_by_one_in_order(found: list[tuple[str, int]]) -> None:
    room = 3 * QUANTITY_MAX
    fits = fitting(FOLD.tables, {"players": standing(NUMBER_MAX - room)}, [FOLD.events([event(*one)]) for one in found])
    expected, left = [], room
    for subject, amount in found:
        fit = subject == "other" or amount <= left
        left -= amount if subject == "full" and fit else 0
        expected.append(fit)
    assert fits == expected


def test_an_event_that_is_left_out_takes_no_room() -> None:
    found = [event("full", 5), event("full", 3), event("full", 1)]
    fits = fitting(FOLD.tables, {"players": standing(NUMBER_MAX - 4)}, [FOLD.events([one]) for one in found])
    assert fits == [False, True, True]

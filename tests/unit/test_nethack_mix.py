"""The made-up traffic of the benchmarks: in a real game's proportions, and such as a real game could have sent."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from google.protobuf.message import Message

from benchmarks.mix import NETHACK_MIX, events
from examples.nethack.server import Server
from schemas import (
    FACTS,
    DepthReached,
    GoldGained,
    GoldSpent,
    ItemGained,
    ItemLost,
    PlayerLevelled,
    PlayerMoved,
    fact_name,
)

EVENTS, SUBJECTS = 60_000, 300


def made() -> list[tuple[str, Message]]:
    return list(events(EVENTS, SUBJECTS, seed=7))


def test_the_shares_are_of_known_facts_and_make_a_whole() -> None:
    assert set(NETHACK_MIX) <= set(FACTS)
    assert sum(NETHACK_MIX.values()) == pytest.approx(1, abs=1e-6)


def test_facts_come_in_the_shares_of_the_mix() -> None:
    counted = Counter(fact_name(fact) for _, fact in made())
    assert set(counted) <= set(NETHACK_MIX)
    for name, share in NETHACK_MIX.items():
        # Five standard deviations of a count; one in a million runs would miss it, and the seed is fixed.
        assert abs(counted[name] - EVENTS * share) <= 5 * (EVENTS * share) ** 0.5 + 1, name


def test_the_mix_is_that_of_the_game() -> None:
    class Silent:
        def publish(self, fact: Message, *, subject: str) -> bytes:
            return b""

    server = Server(Silent(), heroes=8, seed=3)
    for _ in range(600):
        server.turn()
    server.close()
    total = server.by_fact.total()
    for name in ("player_moved", "player_said"):
        assert server.by_fact[name] / total == pytest.approx(NETHACK_MIX[name], abs=0.08)


def test_the_same_seed_makes_the_same_events_and_another_seed_others() -> None:
    first = list(events(2_000, 50, seed=7))
    assert list(events(2_000, 50, seed=7)) == first
    assert list(events(2_000, 50, seed=8)) != first


@pytest.mark.parametrize("n", [0, 1, 4_095, 4_096, 4_097])
def test_as_many_events_are_made_as_are_asked_for(n: int) -> None:
    made = list(events(n, 10, seed=1))
    assert len(made) == n
    assert {subject for subject, _ in made} <= {f"hero-{number:06d}" for number in range(10)}


def test_things_are_lost_by_who_has_them_and_gold_is_spent_by_who_has_it() -> None:
    items: set[tuple[str, str, str]] = set()
    ids: set[str] = set()
    gold: Counter[str] = Counter()
    for subject, fact in made():
        match fact:
            case ItemGained():
                assert fact.item_id not in ids
                ids.add(fact.item_id)
                items.add((subject, fact.item_id, fact.kind))
            case ItemLost():
                items.remove((subject, fact.item_id, fact.kind))
            case GoldGained():
                gold[subject] += fact.amount
            case GoldSpent():
                gold[subject] -= fact.amount
                assert gold[subject] >= 0
    assert len(ids) > 100


def test_steps_are_by_one_and_depths_and_levels_rise_by_one() -> None:
    places: dict[str, tuple[float, float]] = {}
    depths: dict[str, int] = defaultdict(lambda: 1)
    levels: dict[str, int] = defaultdict(lambda: 1)
    for subject, fact in made():
        match fact:
            case PlayerMoved():
                x, y = places.get(subject, (40, 10))
                assert max(abs(fact.x - x), abs(fact.y - y)) <= 1
                places[subject] = (fact.x, fact.y)
            case DepthReached():
                depths[subject] += 1
                assert fact.depth == depths[subject]
            case PlayerLevelled():
                levels[subject] += 1
                assert fact.level == levels[subject]

"""How often the cache finds what players say, and how often what it finds meant something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.sayings import Hits, Line, as_typed, hits, plainly, upper_bound
from inference.agents import AGENTS
from inference.cache import SIMILARITY_MIN, Cache
from inference.embedding import Embedder, choose_embedder
from tests.inference.test_cache import GREET, Clock, Same, heard

DATA = Path(__file__).parent / "data"
ADVERSARIAL = json.loads((DATA / "cache_adversarial.json").read_text(encoding="utf-8"))
ALIKE = json.loads((DATA / "cache_alike.json").read_text(encoding="utf-8"))
SAID = 1_200


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    found = choose_embedder()
    assert found is not None
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def both_ways() -> list[tuple[str, str]]:
    return [pair for kind in ADVERSARIAL.values() for one, other in kind for pair in ((one, other), (other, one))]


def test_no_adversarial_pair_hits(embedder: Embedder, clock: Clock) -> None:
    found = []
    for one, other in both_ways():
        cache = Cache(embedder, now_ms=clock)
        cache.put(heard(one), GREET)
        if cache.find(heard(other)) is not None:
            found.append((one, other))
    assert found == []


def test_no_adversarial_pair_hits_even_if_all_texts_are_taken_for_alike(clock: Clock) -> None:
    cache = Cache(Same(), now_ms=clock)
    for number, (one, other) in enumerate(both_ways()):
        cache.put(heard(one, pair=number), GREET)
        assert cache.find(heard(other, pair=number)) is None, (one, other)


def test_the_cosine_alone_would_not_do(embedder: Embedder) -> None:
    def cosine(one: str, other: str) -> float:
        first, second = embedder.embed(one), embedder.embed(other)
        assert first is not None
        assert second is not None
        return float(first @ second)

    alike = sum(cosine(one, other) > SIMILARITY_MIN for kind in ADVERSARIAL.values() for one, other in kind)
    assert alike >= 50


def test_what_says_the_same_mostly_hits(embedder: Embedder, clock: Clock) -> None:
    pairs = [pair for kind in ALIKE.values() for pair in kind]
    found = 0
    for one, other in pairs:
        cache = Cache(embedder, now_ms=clock)
        cache.put(heard(one), GREET)
        found += cache.find(heard(other)) is not None
    assert found >= 0.7 * len(pairs)


@pytest.fixture(scope="module")
def told(embedder: Embedder) -> Hits:
    return hits(Cache(embedder, now_ms=lambda: 0), AGENTS["dialogue"], as_typed(SAID, 7))


def test_of_what_players_say_at_most_one_hit_in_a_hundred_is_false(told: Hits) -> None:
    assert told.exact + told.semantic >= 300
    assert min(told.exact, told.semantic) >= 100
    assert told.false_max <= 0.01


def test_much_of_what_players_say_was_answered_before(told: Hits) -> None:
    assert told.rate >= 0.4


def test_the_measure_sees_false_hits() -> None:
    cache = Cache(Same(), now_ms=lambda: 0)
    lies = [Line("Go on!", ("go",)), Line("Go on!", ("stop",)), Line("go on", ("stop",)), Line("go on", ("go",))]
    found = hits(cache, AGENTS["dialogue"], iter(lies))
    assert (found.exact, found.semantic, found.false) == (1, 2, 2)


def test_the_workload_is_always_the_same() -> None:
    assert list(plainly(50, 7)) == list(plainly(50, 7))
    assert list(plainly(50, 7)) != list(plainly(50, 8))


@pytest.mark.parametrize(("false", "of", "bound"), [(0, 299, 0.00997), (0, 300, 0.00994), (1, 500, 0.00945), (3, 3, 1)])
def test_the_bound_is_clopper_and_pearsons(false: int, of: int, bound: float) -> None:
    assert upper_bound(false, of) == pytest.approx(bound, abs=1e-5)

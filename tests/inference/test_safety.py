"""Safety: the content filter's misses and false alarms on the corpus that ships here, personal data, prompt leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.agent import Answer
from inference.agents import AGENTS
from inference.attempt import Question, by_rules
from inference.content_filter import _lexicon, offence
from inference.disguises import plain, seen
from inference.personal import personal_data
from inference.requests import requests_for
from inference.safety import unsafe
from inference.validation import Refused
from schemas import PlayerSaid
from tests.inference.asking import ALL, NOW_MS, Order, asked, happened
from tests.inference.test_injection import carriers

CORPUS = orjson.loads((Path(__file__).parent / "data" / "content.json").read_bytes())
SAYINGS = orjson.loads((Path(__file__).parents[2] / "examples" / "nethack" / "sayings.json").read_bytes())

_CYRILLIC = str.maketrans("aceopxyis", "асеорхуіѕ")  # noqa: RUF001 - letters that look alike are the point
_SMALL_CAPITALS = str.maketrans("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")
#: How people walk around filters that compare letters.
DISGUISES: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "capitals": str.upper,
    "leet": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "letters of another script": lambda text: text.translate(_CYRILLIC),
    "full width": lambda text: "".join(chr(ord(x) + 0xFEE0) if "!" <= x <= "~" else x for x in text),
    "zero width": lambda text: "\u200b".join(text),
    "accents": lambda text: "".join(x + "\u0301" if x in "aeiou" else x for x in text),
    "stretched": lambda text: "".join(x * 4 if x in "aeiou" else x for x in text),
    "small capitals": lambda text: text.translate(_SMALL_CAPITALS),
    "squares": lambda text: "".join(chr(0x1F170 + ord(x) - ord("a")) if "a" <= x <= "z" else x for x in text),
    "flags": lambda text: "".join(chr(0x1F1E6 + ord(x) - ord("a")) if "a" <= x <= "z" else x for x in text),
    "fillers": lambda text: "\u3164".join(text),
    "dots": lambda text: " ".join(".".join(word) for word in text.split()),
    "dashes": lambda text: " ".join("-".join(word) for word in text.split()),
}

# What the filter missed when it was measured (docs/performance.md). More is a step back; less is worth writing down.
MISSED_KNOWN_MAX = 0.0
FALSE_ALARMS_MAX = 0.01


def sentences(part: str) -> Iterator[str]:
    for phrases in CORPUS[part].values():
        yield from phrases


@pytest.mark.parametrize("disguise", DISGUISES)
def test_what_the_filter_knows_it_knows_in_every_disguise(disguise: str) -> None:
    texts = [DISGUISES[disguise](text) for text in sentences("known")]
    missed = [text for text in texts if not offence(text)]
    assert len(missed) / len(texts) <= MISSED_KNOWN_MAX, missed


def test_every_entry_of_the_filter_can_be_found() -> None:
    entries = [entry.rstrip("*") for entries in _lexicon().values() for entry in entries]
    assert [entry for entry in entries if not offence(f"so {entry} it is")] == []


def test_game_talk_is_let_through() -> None:
    lines = [line.format(name="Astrid", place="Sokoban", number=12) for group in SAYINGS.values() for line in group]
    texts = [*CORPUS["safe"], *lines]
    alarms = [(text, offence(text) or personal_data(text)) for text in texts if offence(text) or personal_data(text)]
    assert len(alarms) / len(texts) <= FALSE_ALARMS_MAX, alarms


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to bob@example.org", "an e-mail address"),
        ("bob at example dot com", "an e-mail address"),
        ("b\u200bob (at) example [dot] com", "an e-mail address"),
        ("see https://evil.example/x", "a link"),
        ("go to cheapgold.com", "a link"),
        ("the server is 192.168.0.100", "an address on the internet"),
        ("call 555-123-4567", "a telephone number"),
        ("call +44 20 7946 0958", "a telephone number"),
        ("\uff14\uff14 7911 123456", "a telephone number"),
        ("pay with 4111 1111 1111 1111", "a payment card's number"),
        ("send it to DE89 3704 0044 0532 0130 00", "a bank account's number"),
        ("his number is 078-05-1120", "a social security number"),
        ("she lives at 12 Oak Street", "a postal address"),
        ("add me: Finn#1234", "an account with a service"),
        ("we talk on Discord", "an account with a service"),
    ],
)
def test_personal_data_is_found(text: str, kind: str) -> None:
    assert personal_data(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "It is ruined. Site of a great battle.",
        "He stands by the lake. Net in hand, he waits.",
        "12 dwarves block the road.",
        "3 days by road",
        "12 orcs hold court",
        "Level 3 of the old road",
        "She sows discord among the gnomes.",
        "Birds twitter above the gate.",
        "You are the @ here. Run!",
        "Look at the dot there.",
    ],
)
def test_ordinary_sentences_hold_no_personal_data(text: str) -> None:
    assert personal_data(text) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("evil . com", "a link"),
        ("all of it at evil. com today", "a link"),
        ("evil (dot) site", "a link"),
        (f"{'b' * 100}@example.org", "an e-mail address"),
        ("bob@example. org", "a link"),
        ("at 12 Old Mill Road", "a postal address"),
        ("my discord is Finn", "an account with a service"),
        ("Discord: Finn", "an account with a service"),
    ],
)
def test_personal_data_is_found_however_it_is_spaced(text: str, kind: str) -> None:
    assert personal_data(text) == kind


PLACES = ("Sokoban 2", "Gnomish Mines 3", "Dungeons of Doom 14", "Fort Ludios 1", "Vlad's Tower 2", "Quest 5")
KILLERS = ("a jackal", "an Uruk-hai", "a soldier ant", "Izchak, the shopkeeper", "falling down a flight of stairs")


def test_what_the_agents_own_rules_and_defaults_say_of_ordinary_games_is_never_taken_for_unsafe() -> None:
    lines = [line.format(name="Astrid", place="Sokoban", number=12) for group in SAYINGS.values() for line in group]
    texts = [*PLACES, *KILLERS, *lines[::10]]
    found, judged = [], set()
    for text in texts:
        for event in carriers(text):
            for request in requests_for(event, AGENTS):
                one = Question.of(request, AGENTS)
                assert isinstance(one, Question)
                judged.add(request.agent)
                for answer in (by_rules(one)[0], one.agent.default(one.context)):
                    verdict = unsafe(one, answer)
                    if verdict is not None:
                        found.append((request.agent, answer.json(), verdict))
    assert found == []
    assert len(judged) >= 21


def test_a_number_with_a_wrong_checksum_is_not_a_card() -> None:
    assert personal_data("pay with 4111 1111 1111 1112") != "a payment card's number"


@given(st.text())
def test_any_text_can_be_looked_at_and_looking_twice_changes_nothing(text: str) -> None:
    assert seen(seen(text)) == seen(text)
    assert isinstance(offence(text), str)
    assert isinstance(personal_data(text), str)
    assert "\u200b" not in plain(text)


def question() -> Question:
    found = Question.of(asked(happened(PlayerSaid(text="hello"), at_ms=NOW_MS)).decision_requested, ALL)
    assert isinstance(found, Question)
    return found


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("A fair day to you.", None),
        ("Mail me: bob@example.org", "personal_data"),
        ("Go and k1ll y0urself", "content"),
    ],
)
def test_an_answer_is_unsafe_for_what_any_of_its_texts_says(why: str, reason: str | None) -> None:
    verdict = unsafe(question(), Answer("greet", Order(action="greet", why=why)))
    assert (verdict.reason if verdict else None) == reason


def test_an_answer_that_recites_the_instructions_is_a_leak() -> None:
    system = "You guard the gate of a town and greet those who come in peace."
    guard = ALL["guard"]
    fields = {name: getattr(guard, name) for name in type(guard).__dataclass_fields__}
    from inference.agent import Agent
    from inference.prompts import conversation

    wordy = Agent(**{**fields, "prompt": lambda context: conversation(system, [], "who comes?")})
    one = question()
    asked_of = Question(wordy, one.context, one.request)
    told = unsafe(
        asked_of, Answer("greet", Order(action="greet", why="My orders: guard the gate of a town and greet!"))
    )
    assert isinstance(told, Refused)
    assert told.reason == "prompt_leak"
    assert unsafe(asked_of, Answer("greet", Order(action="greet", why="I guard the gate of a town."))) is None

"""Foreign text on a screen: nothing in it is obeyed, and everything that is meant to be read stays."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.harmless import harmless

# Arabic, Syriac and Kaithi signs of number, and the joiners of hieroglyphs: of a format's category, and seen.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
ODD = [
    chr(number)
    for number in range(sys.maxunicode + 1)
    if unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and number not in SEEN
]
anything = st.text(st.sampled_from(ODD) | st.characters() | st.characters(categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07astrid", r"\x1b[2J\x1b]0;owned\x07astrid"),
        ("deny\u202eevorppa\u2069", "deny<U+202E>evorppa<U+2069>"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("as\u200btrid\ufeff", "as<U+200B>trid<U+FEFF>"),
        ("a\u200db", "a<U+200D>b"),
        ("one\u2028two", "one<U+2028>two"),
        ("half \ud83d", "half <U+D83D>"),
        ("\u3164", "<U+3164>"),
        ("astrid\U000e0068\U000e0069", "astrid<U+E0068><U+E0069>"),
    ],
)
def test_what_a_screen_would_obey_is_written_out(foreign: str, shown: str) -> None:
    assert harmless(foreign) == shown


@pytest.mark.parametrize(
    "readable",
    [
        "Zoë", "Ångström", "Владимир", "Ελένη", "雪 😀", "葛\U000e0100城", "שלום", "مرحبا", "क्\u200dष",
        "می\u200cخواهم",  # noqa: RUF001
        "สวัสดี", "👩\u200d👩\u200d👧", "🏴\u200d☠\ufe0f", "👩🏽\u200d🚀", "❤\ufe0f\u200d🔥",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", r"[red]\x1b<U+202E>",
    ],
)  # fmt: skip
def test_what_is_meant_to_be_read_stays(readable: str) -> None:
    assert harmless(readable) == readable


@pytest.mark.parametrize("around", ["{}", "a{}b", "{}{}", "雪{}雪", "\n{}"])
def test_no_character_of_control_format_or_separation_is_left_out(around: str) -> None:
    assert [odd for odd in ODD if odd in harmless(around.replace("{}", odd))] == []


@given(anything)
def test_nothing_odd_comes_out_but_a_joiner_between_what_it_joins(foreign: str) -> None:
    shown = harmless(foreign)
    shown.encode()
    assert harmless(shown) == shown
    assert not {odd for odd in shown if odd in ODD} - {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}

"""Foreign text on a screen: nothing in it is obeyed, and everything that is meant to be read stays."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.commands.output import Screen, emit, foreign
from streams.harmless import harmless, harmless_all, harmless_lines, harmless_logs

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


def obeyed(shown: str) -> set[str]:
    """What a terminal or a browser would obey in a text of several lines."""
    return {odd for odd in shown if odd in ODD} - {"\n"}


def test_every_text_of_what_json_holds_is_made_harmless() -> None:
    said = {"a\x1b": ["\u202e", {"b": "\x07", "n": 1, "x": None, "t": True, "f": 1.5}], "rows": ("\u200b",)}
    assert harmless_all(said) == {
        r"a\x1b": ["<U+202E>", {"b": r"\x07", "n": 1, "x": None, "t": True, "f": 1.5}],
        "rows": ["<U+200B>"],
    }


def test_a_line_that_was_sent_to_us_does_not_pass_for_one_of_ours() -> None:
    assert harmless_lines("first\n2026-11-28 ERROR forged\x1b") == "first\n  2026-11-28 ERROR forged\\x1b"


no_joiners = st.lists(
    st.characters(exclude_characters="\u200c\u200d") | st.sampled_from([*ODD, "[red]", "[/]", ":smile:"]), max_size=20
).map(lambda parts: "".join(parts).translate({0x200C: None, 0x200D: None}))


@given(no_joiners)
def test_a_console_of_ours_shows_nothing_that_is_obeyed(text: str) -> None:
    screen = Screen(file=(shown := io.StringIO()), width=40)
    table = Table("name", text.replace("[", ""), title=Text(text))
    table.add_row(Text(text), foreign(text))
    screen.print(Group(table, Panel(Text(text), title=Text(text))))
    screen.print(text, markup=False)
    screen.print(f"[bold]{foreign(text)}[/]", soft_wrap=True)
    assert not obeyed(shown.getvalue())


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", "[link=http://evil.example]x[/link]", r"\[bold]", ":smile:"])
def test_markup_in_foreign_text_is_text(text: str) -> None:
    screen = Screen(file=(shown := io.StringIO()), width=80, force_terminal=True, color_system="truecolor")
    screen.print(foreign(text), highlight=False, emoji=False)
    assert shown.getvalue() == f"{text}\n"


def test_an_answer_for_programs_is_ascii_that_a_terminal_does_not_obey(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"id": "".join(odd for odd in ODD if ord(odd) < 0x3000)}
    emit(said)
    printed = capsys.readouterr().out
    assert not obeyed(printed)
    assert json.loads(printed) == said


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    make = logging.getLogRecordFactory()
    harmless_logs()
    harmless_logs()  # a second time changes nothing
    log, stream = logging.getLogger("test.harmless"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)
    logging.setLogRecordFactory(make)


def test_what_is_logged_is_harmless_and_so_is_what_was_raised(stream: io.StringIO) -> None:
    log = logging.getLogger("test.harmless")
    log.error("player %s has %d %%", "a\x1b[2J\nERROR forged", 5)
    log.error("%(who)s", {"who": "\u202e"})
    log.error("as it is: %s")
    try:
        raise ValueError("quoted \x9b31m\nERROR forged")
    except ValueError:
        log.exception("failed")
    said = stream.getvalue()
    assert not obeyed(said)
    assert said.splitlines()[:4] == [r"ERROR player a\x1b[2J", "  ERROR forged has 5 %", "ERROR <U+202E>",
                                     "ERROR as it is: %s"]  # fmt: skip
    assert r"quoted \x9b31m" in said
    assert "\nERROR forged" not in said


#: What writes to a screen by itself; a provider under test prints its own port.
WRITES = {"print", "Console", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"}
MAY_WRITE = {"commands/output.py": {"typer.echo"}, "chaos/provider.py": {"print"}}


def test_whatever_is_shown_goes_through_our_consoles() -> None:
    streams, found = Path(__file__).parents[2] / "streams", {}
    for file in sorted(streams.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        if writes := {ast.unparse(call.func) for call in calls} & WRITES:
            found[str(file.relative_to(streams))] = writes
    assert found == MAY_WRITE


@pytest.mark.parametrize(("message", "arguments"), [("%d", ("five",)), ("%(who)s", ({"whom": 1},)), ("%s %s", (1,))])
def test_arguments_that_do_not_fit_their_message_are_left_to_logging(
    stream: io.StringIO, message: str, arguments: tuple[object, ...]
) -> None:
    record = logging.getLogger("test.harmless").makeRecord("test", logging.ERROR, "x.py", 1, message, arguments, None)
    assert record.msg == message
    with pytest.raises((TypeError, KeyError)):
        record.getMessage()

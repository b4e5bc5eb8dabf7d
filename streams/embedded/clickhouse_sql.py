"""Reads as much of a ClickHouse statement as an HTTP server has to know before it hands it to the engine.

Which kind it is, in which format its answer goes out, and, for an INSERT, where the SQL ends and the data begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Whitespace, Unicode's too, and comments first; a string that does not end is left to the engine to complain about.
_TOKEN = re.compile(
    rb"""
      (?P<space>   \s+ | \xc2\xa0 | \xe1\x9a\x80 | \xe1\xa0\x8e | \xe2\x80[\x80-\x8d\xa8\xa9\xaf] | \xe2\x81[\x9f\xa0]
                   | \xe3\x80\x80 | \xef\xbb\xbf | --[^\n]* | \#[\ !][^\n]* | /\*.*?\*/ )
    | (?P<string>  '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | \xe2\x80\x98.*?\xe2\x80\x99 )
    | (?P<quoted>  "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` | \xe2\x80\x9c.*?\xe2\x80\x9d )
    | (?P<word>    [A-Za-z_$][A-Za-z0-9_$]* )
    | (?P<number>  [0-9][A-Za-z0-9_.]* )
    | (?P<sign>    . )
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement: a word, a quoted name, a string, a number or a sign."""

    kind: str
    text: bytes
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """A word in capitals; empty for anything else."""
        return self.text.decode("ascii").upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """A word or a quoted name in small letters, its escapes undone; empty for anything else."""
        if self.kind == "word":
            return self.text.decode("ascii").lower()
        if self.kind != "quoted":
            return ""
        return _ESCAPE.sub(_unescaped, self.text.decode(errors="replace")[1:-1]).lower()


@dataclass(frozen=True, slots=True)
class Statement:
    """What was read. Offsets are in bytes."""

    #: The first keyword, in capitals; empty for an empty statement.
    keyword: str
    #: The FORMAT named by the statement: of the answer, or of an INSERT's data.
    format: str | None = None
    #: For an INSERT with data: where its SQL ends (before FORMAT or VALUES), and where the data begins.
    head_end: int | None = None
    data_start: int | None = None
    #: What was read of it: all but an INSERT's data.
    tokens: Sequence[Token] = ()

    @property
    def takes_data(self) -> bool:
        """Whether it is an INSERT whose rows follow the SQL."""
        return self.data_start is not None

    @property
    def reads(self) -> bool:
        """Whether it answers with rows that may be sent as they come."""
        return self.keyword in ("SELECT", "WITH", "FROM", "(")


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]


def read(sql: bytes) -> Statement:
    """Read a statement, or the beginning of one whose data follows."""
    tokens = _tokens(sql)
    first = next(tokens, None)
    if first is None:
        return Statement("")
    keyword = first.keyword or first.text.decode(errors="replace")
    if keyword == "INSERT":
        return _read_insert(sql, first, tokens)
    rest = [first, *tokens]
    return Statement(keyword, format=_output_format(rest), tokens=rest)


def _tokens(sql: bytes) -> Iterator[Token]:
    for found in _TOKEN.finditer(sql):
        kind = str(found.lastgroup) if found.lastgroup != "tag" else "string"
        if kind != "space":
            yield Token(kind, found.group(), found.start(), found.end())


def _read_insert(sql: bytes, first: Token, tokens: Iterator[Token]) -> Statement:
    """INSERT INTO [TABLE] target [(columns)] [SETTINGS ...] then FORMAT name, VALUES, or a SELECT of any shape."""
    seen: list[Token] = []
    depth = 0
    for token in tokens:
        keyword = token.keyword
        depth += {b"(": 1, b")": -1}.get(token.text, 0)
        targeted = _has_target(seen)
        if targeted and depth == 0 and keyword == "VALUES":
            return Statement("INSERT", "Values", token.start, token.end, [first, *seen])
        if targeted and depth == 0 and keyword == "FORMAT":
            name = next(tokens, None)
            if name is not None and name.kind == "word" and name.keyword == "VALUES":
                return Statement("INSERT", "Values", token.start, name.end, [first, *seen])
            if name is not None and name.kind == "word":
                return Statement(
                    "INSERT", name.text.decode(), token.start, _after_format(sql, name.end), [first, *seen]
                )
        opened = depth == 0 or seen[-1].text == b"("
        seen.append(token)
        if targeted and ((keyword in ("SELECT", "WITH") and opened) or (keyword == "FROM" and depth == 0)):
            seen.extend(tokens)
    return Statement("INSERT", tokens=[first, *seen])


def _has_target(seen: Sequence[Token]) -> bool:
    """Whether the target has been named, so that a table called format is not taken for the keyword."""
    names = [t for t in seen if t.keyword not in ("INTO", "TABLE", "FUNCTION")]
    return bool(names) and seen[-1].text != b"."


def _after_format(sql: bytes, end: int) -> int:
    """Data begins after the line that names the format, or after the blanks where it goes on in the same line."""
    found = re.compile(rb"[ \t\f]*\r?\n?").match(sql, end)
    return found.end() if found else end


def _output_format(tokens: Sequence[Token]) -> str | None:
    depth = 0
    named: str | None = None
    for token, following in pairwise(tokens):
        depth += {b"(": 1, b")": -1}.get(token.text, 0)
        if depth == 0 and token.keyword == "FORMAT" and following.kind == "word":
            named = following.text.decode()
    return named


_OF_VALUES = re.compile(rb"[\\';]")


class RowsBehindSemicolon(Exception):
    """Something follows the semicolon that ends VALUES; the engine would leave it out without a word."""


def values(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The data of VALUES as it comes; raises RowsBehindSemicolon."""
    in_string = ended = False
    skipped = -1
    for piece in pieces:
        if ended and piece.strip():
            raise RowsBehindSemicolon
        for found in _OF_VALUES.finditer(piece):
            sign, at = found.group(), found.start()
            if at == skipped:
                continue
            if sign == b"'":
                in_string = not in_string
            elif sign == b"\\" and in_string:
                skipped = at + 1
            elif sign == b";" and not in_string:
                ended = True
                if piece[at + 1 :].strip():
                    raise RowsBehindSemicolon
        # What a backslash at the end of a piece escapes is the next one's first.
        skipped = 0 if skipped == len(piece) else -1
        yield piece

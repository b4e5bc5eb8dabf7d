"""Reads as much of a ClickHouse statement as an HTTP server has to know before it hands it to the engine.

Which kind it is, in which format its answer goes out, and, for an INSERT, where the SQL ends and the data begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Whitespace and comments first; a string that does not end is left to the engine to complain about.
_TOKEN = re.compile(
    rb"""
      (?P<space>   \s+ | --[^\n]* | \#[\ !][^\n]* | /\*.*?\*/ )
    | (?P<string>  '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<quoted>  "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` )
    | (?P<word>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number>  [0-9][A-Za-z0-9_.]* )
    | (?P<sign>    . )
    """,
    re.DOTALL | re.VERBOSE,
)

#: What reaches outside the database: files of the account that runs the server, other hosts, programs. ClickHouse's
#: own server confines these by its configuration, which the embedded engine does not read; no local user or web page
#: shall read a developer's files through a database without a password.
_NAMES_OUTSIDE = """
    arrowflight azureblobstorage azureblobstoragecluster azurequeue cluster clusterallreplicas deltalake
    deltalakeazure deltalakecluster deltalakelocal deltalakes3 disk executable executablepool file filecluster
    gcs hdfs hdfscluster hive http https hudi hudicluster iceberg icebergazure icebergcluster iceberghdfs
    iceberglocal icebergs3 jdbc kafka materializedmysql materializedpostgresql mongodb mysql nats odbc paimon
    paimonlocal paimons3 postgresql python rabbitmq redis remote remotesecure s3 s3cluster s3queue sqlite url
    urlcluster ytsaurus
"""
_OUTSIDE = frozenset(_NAMES_OUTSIDE.split())


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
    #: Why the server does not run it; None when it does.
    refusal: str | None = None

    @property
    def takes_data(self) -> bool:
        """Whether it is an INSERT whose rows follow the SQL."""
        return self.data_start is not None

    @property
    def reads(self) -> bool:
        """Whether it answers with rows that may be sent as they come."""
        return self.keyword in ("SELECT", "WITH", "FROM", "(")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: bytes
    start: int
    end: int

    @property
    def keyword(self) -> str:
        return self.text.decode("ascii").upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        text = self.text[1:-1] if self.kind == "quoted" else self.text
        return text.decode(errors="replace").lower() if self.kind in ("word", "quoted") else ""


def read(sql: bytes) -> Statement:
    """Read a statement, or the beginning of one whose data follows."""
    tokens = _tokens(sql)
    first = next(tokens, None)
    if first is None:
        return Statement("")
    keyword = first.keyword or first.text.decode(errors="replace")
    if keyword == "INSERT":
        return _read_insert(sql, tokens)
    rest = [first, *tokens]
    return Statement(keyword, format=_output_format(rest), refusal=_refusal(rest))


def _tokens(sql: bytes) -> Iterator[_Token]:
    for found in _TOKEN.finditer(sql):
        kind = str(found.lastgroup) if found.lastgroup != "tag" else "string"
        if kind != "space":
            yield _Token(kind, found.group(), found.start(), found.end())


def _read_insert(sql: bytes, tokens: Iterator[_Token]) -> Statement:
    """INSERT INTO [TABLE] target [(columns)] [SETTINGS ...] then FORMAT name, VALUES, or a SELECT of any shape."""
    seen: list[_Token] = []
    depth = 0
    for token in tokens:
        keyword = token.keyword
        depth += {b"(": 1, b")": -1}.get(token.text, 0)
        targeted = _has_target(seen)
        if targeted and depth == 0 and keyword == "VALUES":
            return Statement("INSERT", "Values", token.start, token.end, _refusal(seen))
        if targeted and depth == 0 and keyword == "FORMAT":
            name = next(tokens, None)
            if name is not None and name.kind == "word" and name.keyword == "VALUES":
                return Statement("INSERT", "Values", token.start, name.end, _refusal(seen))
            if name is not None and name.kind == "word":
                return Statement(
                    "INSERT", name.text.decode(), token.start, _after_format(sql, name.end), _refusal(seen)
                )
        opened = depth == 0 or seen[-1].text == b"("
        seen.append(token)
        if targeted and ((keyword in ("SELECT", "WITH") and opened) or (keyword == "FROM" and depth == 0)):
            seen.extend(tokens)
    return Statement("INSERT", refusal=_refusal(seen))


def _has_target(seen: Sequence[_Token]) -> bool:
    """Whether the target has been named, so that a table called format is not taken for the keyword."""
    names = [t for t in seen if t.keyword not in ("INTO", "TABLE", "FUNCTION")]
    return bool(names) and seen[-1].text != b"."


def _after_format(sql: bytes, end: int) -> int:
    """Data begins after the line that names the format, or after the blanks where it goes on in the same line."""
    found = re.compile(rb"[ \t\f]*\r?\n?").match(sql, end)
    return found.end() if found else end


def _output_format(tokens: Sequence[_Token]) -> str | None:
    depth = 0
    named: str | None = None
    for token, following in pairwise(tokens):
        depth += {b"(": 1, b")": -1}.get(token.text, 0)
        if depth == 0 and token.keyword == "FORMAT" and following.kind == "word":
            named = following.text.decode()
    return named


def _refusal(tokens: Sequence[_Token]) -> str | None:
    for token, following in pairwise(tokens):
        if (token.keyword, following.keyword) in (("INTO", "OUTFILE"), ("FROM", "INFILE")):
            return f"{token.keyword} {following.keyword} is for files of the server: send or fetch the data over HTTP"
        if following.text == b"(" and token.name in _OUTSIDE:
            return f"{token.name}() reaches outside the database, which the embedded server does not offer"
    return None

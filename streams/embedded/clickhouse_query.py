"""Runs what a request asks for: tells SQL from data, gives both to the engine, and the answer back block by block."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from socket import socket
from typing import Any

from streams.embedded import clickhouse_engine, clickhouse_native, clickhouse_reach, clickhouse_sql
from streams.embedded.clickhouse_engine import Engine, EngineError, error
from streams.embedded.clickhouse_request import Request, not_offered
from streams.embedded.clickhouse_turns import AT_ONCE, SHORT_S, Room, Turn, Turns, Watch, too_many
from streams.embedded.http_body import Readable, pieces

#: ClickHouse's own `max_query_size`: what of a request may be SQL.
SQL_LIMIT_BYTES = 262_144
#: Formats whose blocks, one after the other, are what the whole would be: no header, no footer.
BLOCKWISE = frozenset({"native", "tabseparated", "tsv", "csv", "rowbinary", "jsoneachrow", "tabseparatedraw"})
#: The counts of ClickHouse's summary; a client expects them all.
COUNTS = (
    "read_rows",
    "read_bytes",
    "written_rows",
    "written_bytes",
    "total_rows_to_read",
    "result_rows",
    "result_bytes",
)


@dataclass(slots=True)
class Answer:
    """What a query answers with. Its counts are complete once its blocks have been read."""

    blocks: Iterator[bytes]
    #: None where the statement has no rows to answer with, as a CREATE or an INSERT.
    format: str | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    elapsed_s: float = 0.0
    #: Cancels what still runs.
    end: Callable[[], None] = lambda: None

    def summary(self) -> str:
        """ClickHouse's summary: its numbers are strings."""
        counts = {name: str(count) for name, count in self.counts.items()}
        return json.dumps({**counts, "elapsed_ns": str(int(self.elapsed_s * 1e9))})

    def count(self, result: Any) -> None:
        """Add what the engine counted for a result, or for one block of it."""
        self.counts["read_rows"] += result.storage_rows_read()
        self.counts["read_bytes"] += result.storage_bytes_read()
        self.counts["written_rows"] += result.rows_written()
        self.counts["written_bytes"] += result.bytes_written()
        self.counts["result_rows"] += result.rows_read()
        self.counts["result_bytes"] += result.bytes_read()
        self.elapsed_s += result.elapsed()


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests are answered: the engine, whose turn it is, and who ends what nobody waits for."""

    engine: Engine
    turns: Turns
    watch: Watch


@contextmanager
def answer(place: Place, request: Request, source: Readable, client: socket) -> Iterator[Answer]:
    """The answer to a request of a client whose body is `source`; the query may still run while its blocks are read.

    Raises EngineError as ClickHouse words it, and BodyRefused for a body that cannot be read.
    """
    head, rest = _head(request.query, source)
    statement = clickhouse_sql.read(head)
    if not statement.keyword:
        raise error(62, "Empty query", "SYNTAX_ERROR")
    mark = str(uuid.uuid4())
    with place.engine.connection(replace(request.context, mark=mark)) as connection:
        if statement.takes_data and not request.context.parameters:
            if request.only_reads:
                raise _read_only()
            _keep_inside(place.engine, connection, request, statement, head)
            with place.turns.turn(Room.INSERTS):
                yield _insert(connection, statement, head, rest)
            return
        text = _whole(head, rest)
        reads = _check(connection, request, statement, _text(text)) == "READ_ONLY"
        _keep_inside(place.engine, connection, request, statement, text)
        rooms = (Room.QUERIES, Room.SHORT) if reads else (Room.QUERIES,)
        with place.turns.turn(*rooms) as turn, _watching(place, mark, client, turn, reads):
            answered = _run(connection, request, statement, _text(text), reads)
            try:
                yield answered
            finally:
                # Before its connection is closed: a query that is cancelled after that takes the whole engine with it.
                answered.end()


@contextmanager
def _watching(place: Place, mark: str, client: socket, turn: Turn, reads: bool) -> Iterator[None]:
    """Have a query that only reads ended when its client goes, or when it is not as short as it has to be."""
    if not reads:
        yield
        return
    within_s = SHORT_S if turn.room is Room.SHORT else inf
    with place.watch.over(mark, client, within_s, lambda: place.turns.lengthen(turn)) as watched:
        try:
            yield
        except EngineError as raised:
            if not watched.over:
                raise
            sentence = f"{AT_ONCE[Room.QUERIES]} queries are running, and this one took more than {SHORT_S:.0f} s"
            raise too_many(sentence) from raised


def _keep_inside(
    engine: Engine, connection: Any, request: Request, statement: clickhouse_sql.Statement, sql: bytes
) -> None:
    """Raise EngineError for a statement that reaches outside the database."""
    parsed = _text(sql[: statement.head_end])
    if statement.takes_data:
        parsed += "\nFORMAT Null"
    tree = clickhouse_engine.tree(connection, parsed, request.context.parameters)
    refusal = clickhouse_reach.refusal(tree, statement.tokens, request.context.settings, engine.outside)
    if refusal is not None:
        raise not_offered(refusal)


def _insert(connection: Any, statement: clickhouse_sql.Statement, head: bytes, rest: Iterator[bytes]) -> Answer:
    sql = _text(head[: statement.head_end])
    data: Iterator[bytes] = (piece for piece in chain([head[statement.data_start :]], rest) if piece)
    if statement.format == "Values":
        data = clickhouse_sql.values(data)
    try:
        done = clickhouse_engine.insert(connection, sql, str(statement.format), data)
    except clickhouse_sql.RowsBehindSemicolon:
        raise error(33, "Cannot read data after semicolon: send one INSERT a request", "CANNOT_READ_ALL_DATA") from None
    inserted = Answer(iter(()), elapsed_s=done.elapsed)
    inserted.counts |= {"written_rows": done.rows_written, "written_bytes": done.bytes_written}
    return inserted


def _check(connection: Any, request: Request, statement: clickhouse_sql.Statement, sql: str) -> str:
    """The kind of a statement, as the engine calls it; raises EngineError for what may not be asked."""
    statements, kind = clickhouse_engine.classify(connection, sql)
    if statements > 1:
        raise error(62, "Multi-statements are not allowed: send one statement a request", "SYNTAX_ERROR")
    if request.only_reads and kind not in ("READ_ONLY", "UNKNOWN") and statement.keyword not in ("SET", "USE"):
        raise _read_only()
    return kind


def _run(connection: Any, request: Request, statement: clickhouse_sql.Statement, sql: str, reads: bool) -> Answer:
    named = None if statement.takes_data else statement.format
    rows_format = named or request.default_format
    given = request.context.parameters
    newer = rows_format.lower() == "native" and request.revision >= clickhouse_native.REVISION
    as_read = clickhouse_native.renewed if newer else bytes
    if statement.reads and not request.whole_answer_first and rows_format.lower() in BLOCKWISE:
        results = clickhouse_engine.stream(connection, sql, rows_format, given)
        streamed = Answer(iter(()), rows_format, end=results.close)
        streamed.blocks = _counted(streamed, as_read, results)
        return streamed
    done = clickhouse_engine.run(connection, sql, rows_format, given)
    whole = Answer(iter([as_read(done.bytes() or b"")]), rows_format if reads or done.size() > 0 else None)
    whole.count(done)
    return whole


def _counted(streamed: Answer, as_read: Callable[[bytes], bytes], results: Iterator[Any]) -> Iterator[bytes]:
    for result in results:
        streamed.count(result)
        yield as_read(result.bytes())


def _head(query: str, source: Readable) -> tuple[bytes, Iterator[bytes]]:
    """As much of the request as may be SQL, and the rest of it, unread.

    ClickHouse reads the address's `query` and the body as one text, with a line's end between them.
    """
    head = query.encode()
    body = pieces(source)
    first = next(body, b"")
    if head and first:
        head += b"\n"
    head += first
    while len(head) < SQL_LIMIT_BYTES and (more := next(body, b"")):
        head += more
    return head, body


def _whole(head: bytes, rest: Iterator[bytes]) -> bytes:
    """The request's text where all of it is SQL."""
    if len(head) > SQL_LIMIT_BYTES or next(rest, b""):
        sentence = f"Max query size exceeded ({SQL_LIMIT_BYTES} bytes): send data as the body of an INSERT ... FORMAT"
        raise error(62, sentence, "SYNTAX_ERROR")
    return head


def _text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError:
        raise error(62, "The statement is not UTF-8", "SYNTAX_ERROR") from None


def _read_only() -> Exception:
    sentence = "Cannot execute query in readonly mode: a request by GET may only read, use POST"
    return error(164, sentence, "READONLY")

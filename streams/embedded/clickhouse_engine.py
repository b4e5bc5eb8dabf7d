"""ClickHouse's engine in this process: connections, the settings of one query, sessions, streaming inserts."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from chdb.state.sqlitelike import Connection, connect

from streams.embedded.clickhouse_reach import names_outside

#: The engine's share of a machine that also runs Kafka, Postgres and the workers; beyond it a query fails, and only it.
MEMORY_LIMIT_BYTES = 1_500_000_000
MARK_CACHE_BYTES = 64 * 1024 * 1024
#: What the engine's local mode allows and a server does not.
LIKE_A_SERVER = {"implicit_select": "0", "allow_introspection_functions": "0"}
SESSION_TIMEOUT_S = 60.0
#: A session costs a connection, 0.1 MB; a client that is not closed leaves its session to expire.
SESSIONS_AT_ONCE = 1000

READONLY = 164
_TREE_OF = "EXPLAIN AST "
#: The setting that carries a query's mark.
_MARKED_BY = "log_comment"

_ERROR = re.compile(r"Code: (?P<code>\d+)\. (?P<rest>DB::.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EngineError(Exception):
    """An error as ClickHouse words it, with its number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, raised: Exception) -> EngineError:
        """What the engine raised, without the wrappings of the calls that it came through."""
        text = str(raised)
        found = _ERROR.search(text)
        if found is None:
            unsupported = "does not support" in text
            return cls(48 if unsupported else 1002, text)
        return cls(int(found["code"]), f"Code: {found['code']}. {found['rest']}".rstrip())


@dataclass(frozen=True, slots=True)
class Context:
    """What a request says about its query besides the query."""

    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    session_timeout_s: float = SESSION_TIMEOUT_S
    session_must_exist: bool = False
    #: What the query can be killed by: the engine takes no id for it.
    mark: str = ""


@dataclass(slots=True)
class _Session:
    connection: Connection
    expires: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """One database folder. Connections are cheap (0.1 ms) and run side by side, so every query gets its own."""

    def __init__(self, data: Path, clock: Callable[[], float] = time.monotonic) -> None:
        limits = {"max_server_memory_usage": MEMORY_LIMIT_BYTES, "mark_cache_size": MARK_CACHE_BYTES}
        self._path = str(data)
        self._clock = clock
        # Held open, since the engine shuts down with its last connection; only the first sets what is the server's.
        self._anchor = connect(f"{self._path}?{urlencode(limits)}")
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self.version = self._anchor.query("SELECT version()", "TabSeparated").bytes().decode().strip()
        self.timezone = self._anchor.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()
        #: What no statement may call.
        self.outside = names_outside(self._names("table_functions"), self._names("table_engines", "database_engines"))

    @contextmanager
    def connection(self, context: Context) -> Iterator[Connection]:
        """A connection on which the context's database and settings hold; raises EngineError where they cannot."""
        if context.session:
            with self._in_session(context) as connection:
                yield connection
            return
        connection = self._connect()
        try:
            _apply(connection, context)
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        """Close every connection, which writes out what the engine holds in memory."""
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()
        self._anchor.close()

    def kill(self, marks: Sequence[str]) -> None:
        """Ask the running queries that have these marks to end; they do so in a moment."""
        connection = self._connect()
        try:
            listed = ", ".join(_quoted(mark) for mark in marks)
            which = f"arrayExists(mark -> endsWith(Settings['{_MARKED_BY}'], mark), [{listed}])"
            run(connection, f"KILL QUERY WHERE {which} ASYNC", "Null", {})
        finally:
            connection.close()

    def _names(self, *tables: str) -> list[str]:
        sql = " UNION ALL ".join(f"SELECT name FROM system.{table}" for table in tables)
        names: bytes = self._anchor.query(sql, "TabSeparated").bytes()
        return names.decode().split()

    def _connect(self) -> Connection:
        return connect(f"{self._path}?{urlencode(LIKE_A_SERVER)}")

    @contextmanager
    def _in_session(self, context: Context) -> Iterator[Connection]:
        session = self._session(context)
        if not session.lock.acquire(blocking=False):
            raise error(373, f"Session {context.session} is locked by a concurrent client", "SESSION_IS_LOCKED")
        try:
            before = _current(session.connection, context)
            try:
                _apply(session.connection, context)
                yield session.connection
            finally:
                self._restore(context.session, session, before)
        finally:
            session.expires = self._clock() + context.session_timeout_s
            session.lock.release()

    def _session(self, context: Context) -> _Session:
        now = self._clock()
        with self._lock:
            for name in [n for n, s in self._sessions.items() if s.expires < now and not s.lock.locked()]:
                self._sessions.pop(name).connection.close()
            session = self._sessions.get(context.session)
            if session is None:
                if context.session_must_exist:
                    raise error(372, f"Session {context.session} not found", "SESSION_NOT_FOUND")
                if len(self._sessions) >= SESSIONS_AT_ONCE:
                    sentence = f"There are {SESSIONS_AT_ONCE} sessions already: let some expire or use fewer"
                    raise error(202, sentence, "TOO_MANY_SIMULTANEOUS_QUERIES")
                session = _Session(self._connect(), now + context.session_timeout_s)
                self._sessions[context.session] = session
            return session

    def _restore(self, name: str, session: _Session, before: tuple[str, dict[str, str]]) -> None:
        """Put back what held before the query: settings given with a request are that request's alone.

        A session that made itself read-only cannot be put back, and ends.
        """
        database, values = before
        try:
            _set(session.connection, values)
            run(session.connection, f"USE {_quoted_name(database)}", "Null", {})
        except EngineError:
            with self._lock:
                self._sessions.pop(name, None)
            session.connection.close()


def error(code: int, sentence: str, name: str) -> EngineError:
    """An error of the server's own, worded as the engine words its."""
    return EngineError(code, f"Code: {code}. DB::Exception: {sentence}. ({name})")


def run(connection: Connection, sql: str, answer_format: str, parameters: Mapping[str, str]) -> Any:
    """Run one statement to its end; gives the engine's result, whose `bytes()` is the answer."""
    with _worded():
        return connection.query(sql, answer_format, params=dict(parameters))


def stream(
    connection: Connection, sql: str, answer_format: str, parameters: Mapping[str, str]
) -> Generator[Any, None, None]:
    """Run a statement that reads, giving its answer block by block; closing the iterator cancels it."""
    with _worded(), connection.send_query(sql, answer_format, params=dict(parameters)) as blocks:
        yield from blocks


def insert(connection: Connection, sql: str, data_format: str, data: Iterator[bytes]) -> Any:
    """Push rows in their own format into the table as they arrive; all or, up to the engine's block size, nothing."""
    with _worded(), connection.send_insert(sql, data_format) as inserter:
        for piece in data:
            inserter.append(piece)
        return inserter.finish()


def tree(connection: Connection, sql: str, parameters: Mapping[str, str]) -> str:
    """A statement as the engine's parser sees it, a node a line; raises EngineError where it does not parse."""
    try:
        return str(run(connection, _TREE_OF + sql, "TabSeparatedRaw", parameters).bytes().decode(errors="replace"))
    except EngineError as raised:
        # The client's statement begins later in what was parsed.
        text = re.sub(r"(?<=failed at position )\d+", lambda found: str(int(found[0]) - len(_TREE_OF)), str(raised))
        raise EngineError(raised.code, text) from raised


def classify(connection: Connection, sql: str) -> tuple[int, str]:
    """How many statements the text holds, as the engine's parser sees it, and the most intrusive kind among them.

    The kinds are READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL and, for what does not parse, UNKNOWN.
    """
    found = connection._conn.classify_query(sql)
    return int(found["statement_count"]), str(found["query_class"].name)


@contextmanager
def _worded() -> Iterator[None]:
    try:
        yield
    except RuntimeError as raised:
        raise EngineError.of(raised) from raised


def _apply(connection: Connection, context: Context) -> None:
    if context.database:
        run(connection, f"USE {_quoted_name(context.database)}", "Null", {})
    _mark(connection, context)
    _set(connection, {name: value for name, value in context.settings.items() if name != _MARKED_BY})


def _mark(connection: Connection, context: Context) -> None:
    """Put the mark behind the client's own comment. A session that made itself read-only runs without a mark."""
    comment = f"{context.settings.get(_MARKED_BY, '')} {context.mark}"
    try:
        _set(connection, {_MARKED_BY: comment})
    except EngineError as refused:
        if refused.code != READONLY:
            raise


def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    _check_names(settings)
    if settings:
        # `readonly` last: after it, a connection takes no other setting.
        ordered = sorted(settings.items(), key=lambda setting: setting[0] == "readonly")
        run(connection, "SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in ordered), "Null", {})


def _current(connection: Connection, context: Context) -> tuple[str, dict[str, str]]:
    """The session's database, and its values of the settings that the context will change."""
    names = list(context.settings)
    _check_names(names)
    columns = ["currentDatabase()", *(f"toString(getSetting({_quoted(name)}))" for name in names)]
    answer = run(connection, f"SELECT {', '.join(columns)}", "JSONCompactStringsEachRow", {})
    database, *values = json.loads(answer.bytes())
    return database, dict(zip(names, values, strict=True))


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise error(115, f"Unknown setting '{name}'", "UNKNOWN_SETTING")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

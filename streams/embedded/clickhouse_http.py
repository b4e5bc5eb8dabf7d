"""ClickHouse's HTTP interface in front of its embedded engine: what clickhouse-connect and curl speak to.

    python -m streams.embedded.clickhouse_http --data FOLDER --port PORT

Offered: queries and inserts by GET (read-only) and POST, in the address or the body; every input and output format of
the engine; `database`, `default_format`, `query_id`, `wait_end_of_query`, `param_NAME`, sessions, settings in the
address; packed bodies (gzip, deflate, lz4, zstd, br, bz2); ClickHouse's own packed blocks both ways (`compress`,
`decompress`); Native as the Go client reads it; `/ping`; errors, late ones too, and summaries as ClickHouse
words them. A query that only reads ends when its client goes.
Not offered, and refused in a sentence: external tables, INSERT ... SELECT FROM input() with data, roles and users, and
whatever reads files or other hosts. HTTP's own packing of answers is not offered either. A query's own id in
`system.query_log` is the engine's, not the client's, so KILL QUERY by a client's id finds nothing.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import signal
import socket
import string
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

from streams.embedded import clickhouse_query
from streams.embedded.clickhouse_blocks import Blocks, packed
from streams.embedded.clickhouse_engine import Engine, EngineError, error
from streams.embedded.clickhouse_query import Answer, Place
from streams.embedded.clickhouse_request import (
    Request,
    content_type,
    foreign_page,
    form_fields,
    not_offered,
    parse,
    status_of,
)
from streams.embedded.clickhouse_turns import Turns, Watch
from streams.embedded.http_body import Body, BodyRefused, Readable, pieces
from streams.embedded.http_packing import unpacked
from streams.embedded.ports import LOOPBACK

log = logging.getLogger("clickhouse")

CONNECTIONS_AT_ONCE = 256
#: A connection that says nothing for this long is closed.
IDLE_TIMEOUT_S = 300
#: What is left of a refused body is read, so that the client hears the refusal; beyond this the connection is cut.
DRAIN_LIMIT_BYTES = 16 * 1024 * 1024
DRAIN_PIECE_BYTES = 64 * 1024
#: An answer smaller than this is sent whole, with its summary and an error's true status.
WHOLE_ANSWER_BYTES = 1024 * 1024
#: What a client may wait between two pieces of its insert, whose turn others wait for.
STALLED_INSERT_S = 20.0
#: Time for running queries to end when the server stops, and for those to end that had to be told.
LAST_QUERIES_S = 5.0
#: ClickHouse's own bounds of an error that comes amid an answer, which its clients rely on.
TAG_CHARACTERS = 16
LATE_ERROR_LIMIT_BYTES = 16 * 1024

_PLAIN = "text/plain; charset=UTF-8"
_FIXED_PAGES = ("/ping", "/replicas_status")


class Server(ThreadingHTTPServer):
    """Listens, one thread a connection, at most so many connections and queries at once."""

    daemon_threads = True
    request_queue_size = CONNECTIONS_AT_ONCE

    def __init__(self, address: tuple[str, int], engine: Engine) -> None:
        self.place = Place(engine, Turns(), Watch(engine.kill))
        self._connections = threading.BoundedSemaphore(CONNECTIONS_AT_ONCE)
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or turn it away when there are too many."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else goes to the log."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            log.exception("a request from %s failed", client_address)

    def end_queries(self) -> None:
        """Give what runs a last moment, then end the queries that only read."""
        if not self.place.turns.all_ended(LAST_QUERIES_S):
            self.place.watch.end_all()
            self.place.turns.all_ended(LAST_QUERIES_S)
        self.place.watch.stop()


class Handler(BaseHTTPRequestHandler):
    """One connection; its requests come one after the other."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    #: Of the request being served.
    _query_id = ""
    _tag = ""
    _began = False
    _body: Body | None = None

    def do_HEAD(self) -> None:
        """As GET of a fixed page, without the body."""
        self._send(200 if self._place in ("/", *_FIXED_PAGES) else 404, b"", _PLAIN)

    def do_OPTIONS(self) -> None:
        """Which methods there are; pages of other hosts may use none of them."""
        self._send(204, b"", _PLAIN, {"Allow": "GET, POST, HEAD, OPTIONS"})

    def do_GET(self) -> None:
        """A query that only reads, or one of the fixed pages."""
        self._serve()

    def do_POST(self) -> None:
        """Any query; the body goes on where the address's `query` stops."""
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing a request: only failures are worth a line."""

    @property
    def _place(self) -> str:
        return self.path.partition("?")[0]

    def _serve(self) -> None:
        self._query_id = ""
        self._tag = "".join(secrets.choice(string.ascii_letters) for _ in range(TAG_CHARACTERS))
        self._body = None
        self._began = False
        try:
            self._body = Body(self.rfile, self.headers)
            page = foreign_page(self.headers)
            if page is not None:
                raise not_offered(f"Requests of web pages from elsewhere ({page}) are not served")
            if self._place in _FIXED_PAGES or (self.command == "GET" and self.path == "/"):
                self._send(200, b"Ok.\n", _PLAIN)
            elif self._place != "/":
                raise not_offered(f"There is nothing at {self._place}: queries go to /, health checks to /ping")
            else:
                self._query(*self._read(self._body))
        except EngineError as refusal:
            self._refuse(status_of(refusal), refusal.code, str(refusal))
        except BodyRefused as refusal:
            self._refuse(refusal.status, 1000, f"Code: 1000. DB::Exception: {refusal}. (POCO_EXCEPTION)")
        finally:
            self._drain()

    def _read(self, body: Body) -> tuple[Request, Readable]:
        if self.command == "POST" and not {"Content-Length", "Transfer-Encoding"} & set(self.headers):
            raise error(381, "A POST needs a Content-Length, or to be chunked", "HTTP_LENGTH_REQUIRED")
        source = unpacked(body, ", ".join(self.headers.get_all("Content-Encoding", [])))
        kind = self.headers.get("Content-Type", "")
        if not kind.lower().startswith("multipart/form-data"):
            request = parse(self.command, self.path, self.headers)
            return request, Blocks(source) if request.body_in_blocks else source
        fields = form_fields(kind, b"".join(pieces(source)))
        return parse(self.command, self.path, self.headers, fields), body

    def _query(self, request: Request, source: Readable) -> None:
        # An id with a line's end in it would become a header of its own.
        self._query_id = "".join(c for c in request.query_id if c.isprintable()) or str(uuid.uuid4())
        self.connection.settimeout(STALLED_INSERT_S)
        try:
            with clickhouse_query.answer(self.server.place, request, source, self.connection) as answer:
                self.connection.settimeout(self.timeout)
                if request.answer_in_blocks:
                    answer.blocks = chain.from_iterable(map(packed, answer.blocks))
                self._send_answer(answer)
        finally:
            self.connection.settimeout(self.timeout)

    def _send_answer(self, answer: Answer) -> None:
        """Send an answer whole where it is small, else as it comes."""
        kept: list[bytes] = []
        size = 0
        headers = {"X-ClickHouse-Timezone": self.server.place.engine.timezone}
        if answer.format is not None:
            headers["X-ClickHouse-Format"] = answer.format
        kind = _PLAIN if answer.format is None else content_type(answer.format)
        for block in answer.blocks:
            kept.append(block)
            size += len(block)
            if size < WHOLE_ANSWER_BYTES:
                continue
            if not self._began:
                self._begin(200, kind, {**headers, "Transfer-Encoding": "chunked"})
            self._send_chunk(b"".join(kept))
            kept.clear()
        if self._began:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._send(200, b"".join(kept), kind, {**headers, "X-ClickHouse-Summary": answer.summary()})

    def _send_chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _begin(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self._began = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-ClickHouse-Server-Display-Name", "norn")
        if self._query_id:
            self.send_header("X-ClickHouse-Query-Id", self._query_id)
        self.send_header("X-ClickHouse-Exception-Tag", self._tag)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        length = {} if status == 204 else {"Content-Length": str(len(data))}
        self._begin(status, kind, {**length, **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: int, message: str) -> None:
        text = f"{message} (version {self.server.place.engine.version} (embedded build))\n"
        if self._began:
            self._break_off(text)
            return
        self._send(status, text.encode(), _PLAIN, {"X-ClickHouse-Exception-Code": str(code)})

    def _break_off(self, text: str) -> None:
        """Tell an error amid an answer as ClickHouse 25.11 and later do: after the rows, then without the last chunk.

        The tag, which the answer's headers named, tells a client that these lines are no rows.
        """
        log.warning("an answer was broken off by its error: %s", text.rstrip())
        told = text.encode()[:LATE_ERROR_LIMIT_BYTES].decode(errors="ignore").rstrip().encode() + b"\n"
        tag = self._tag.encode()
        marker = b"\r\n__exception__\r\n"
        self._send_chunk(marker + tag + b"\r\n" + told + b"%d " % len(told) + tag + marker)
        self.wfile.flush()
        self.close_connection = True
        # Only the sending half: what the client has not read yet must still reach it.
        self.connection.shutdown(socket.SHUT_WR)

    def _drain(self) -> None:
        """Read what is left of the body, so that the next request begins where it should."""
        self.wfile.flush()
        left = DRAIN_LIMIT_BYTES
        body = self._body
        try:
            while body is not None and not body.finished and not body.broken and left > 0:
                left -= len(body.read(DRAIN_PIECE_BYTES))
        except BodyRefused as refusal:
            log.info("what was left of a refused body could not be read: %s", refusal)
        if body is None or not body.finished:
            self.close_connection = True


def main() -> None:
    """Serve until SIGTERM or SIGINT, then let the running queries end and close the engine."""
    options = argparse.ArgumentParser(description="ClickHouse's HTTP interface in front of its embedded engine.")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--port", type=int, required=True)
    given = options.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    engine = Engine(given.data)
    server = Server((LOOPBACK, given.port), engine)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop, which runs in the thread that takes the signal.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    server.end_queries()
    engine.close()


if __name__ == "__main__":
    main()

"""How requests to the embedded ClickHouse end that do not end well: cut off, left by their clients, too many."""

from __future__ import annotations

import gzip
import http.client
import re
import select
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.embedded import clickhouse_query, clickhouse_turns
from streams.embedded.clickhouse_engine import Engine
from streams.embedded.clickhouse_http import Server
from streams.embedded.clickhouse_turns import AT_ONCE, Room
from streams.embedded.ports import LOOPBACK
from tests.waiting import WITHIN_S, eventually

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number)) SETTINGS max_threads = 1"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(10000%' AND query NOT LIKE '%processes%'"
FAILING = "SELECT number, throwIf(number = 900000, 'late') FROM numbers(1000000) SETTINGS max_block_size = 10000"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of this module's own, which it fills with queries."""
    engine = Engine(Path(tmp_path_factory.mktemp("endings")))
    server = Server((LOOPBACK, 0), engine)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    yield int(server.server_address[1])
    server.shutdown()
    serving.join()
    server.server_close()
    server.end_queries()
    engine.close()


@pytest.fixture
def ask(port: int) -> Callable[..., tuple[int, str]]:
    def ask(sql: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=WITHIN_S)
        connection.request("POST", f"/?{urllib.parse.urlencode({'query': sql})}", body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    return ask


@pytest.fixture
def table(ask: Any) -> Iterator[str]:
    assert ask("CREATE TABLE t (a UInt64, b String DEFAULT '') ENGINE = MergeTree ORDER BY a")[0] == 200
    yield "t"
    ask("DROP TABLE t SYNC")


def begin(port: int, sql: str) -> socket.socket:
    """A client that has asked, and has not read the answer."""
    client = socket.create_connection((LOOPBACK, port), timeout=WITHIN_S)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(sql), sql.encode()))
    return client


def raw(port: int, request: bytes) -> bytes:
    """What a request that ends here, whatever it said, is answered with."""
    with socket.create_connection((LOOPBACK, port), timeout=WITHIN_S) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


class TestInsertsCutOff:
    def test_all_members_of_a_packed_insert_are_rows(self, ask: Any, table: str) -> None:
        packed = gzip.compress(b"1,one\n", mtime=0) + gzip.compress(b"2,two\n", mtime=0) + gzip.compress(b"", mtime=0)
        assert ask("INSERT INTO t FORMAT CSV", packed, {"Content-Encoding": "gzip"}) == (200, "")
        assert ask("SELECT a, b FROM t ORDER BY a") == (200, "1\tone\n2\ttwo\n")

    @pytest.mark.parametrize("behind", [b"rubbish", gzip.compress(b"2,two\n", mtime=0)[:-1], b"\x1f"])
    def test_an_insert_with_rubbish_behind_it_leaves_no_row(self, ask: Any, table: str, behind: bytes) -> None:
        packed = gzip.compress(b"1,one\n", mtime=0) + behind
        status, text = ask("INSERT INTO t FORMAT CSV", packed, {"Content-Encoding": "gzip"})
        assert status == 400, text
        assert ask("SELECT count() FROM t") == (200, "0\n")

    def test_rows_behind_a_semicolon_are_an_error_and_not_left_out(self, ask: Any, table: str) -> None:
        assert ask("INSERT INTO t VALUES", b"(1, 'one'); (2, 'two')")[0] >= 400
        assert ask("SELECT count() FROM t") == (200, "0\n")
        assert ask("INSERT INTO t VALUES", b"(1, 'one'), (2, 'two');") == (200, "")

    @pytest.mark.parametrize(
        "request_after_the_address",
        [
            b"Content-Length: 100\r\n\r\n1,one\n",
            b"Transfer-Encoding: chunked\r\n\r\n6\r\n1,one\n\r\n6\r\n2,t",
            b"Transfer-Encoding: chunked\r\n\r\n6\r\n1,one\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n6\r\n1,one\n\r\n0",
            b"Transfer-Encoding: chunked\r\n\r\n6\r\n1,one\n2,two\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n\r\n6\r\n1,one\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n1,one\n",
            b"Content-Encoding: gzip\r\nContent-Encoding: deflate\r\nContent-Length: 6\r\n\r\n1,one\n",
            b"\r\n1,one\n",
        ],
    )
    def test_an_insert_that_was_not_sent_whole_leaves_no_row(
        self, port: int, ask: Any, table: str, request_after_the_address: bytes
    ) -> None:
        line = b"POST /?query=INSERT%20INTO%20t%20FORMAT%20CSV HTTP/1.1\r\nHost: x\r\n"
        answer = raw(port, line + request_after_the_address)
        assert re.match(rb"HTTP/1\.1 (4\d\d|501) ", answer), answer
        assert answer.count(b"HTTP/1.1 ") == 1
        assert ask("SELECT count() FROM t") == (200, "0\n")


class TestClientsGone:
    def test_queries_end_with_their_clients_and_history_never_waits_for_them(
        self, port: int, ask: Any, table: str
    ) -> None:
        clients = [begin(port, ENDLESS) for _ in range(AT_ONCE[Room.QUERIES])]
        eventually(lambda: ask(RUNNING)[1] == f"{AT_ONCE[Room.QUERIES]}\n")
        assert ask("INSERT INTO t FORMAT CSV", b"1,while they run\n") == (200, "")
        assert ask("SELECT b FROM t") == (200, "while they run\n")
        for client in clients:
            client.close()
        eventually(lambda: ask(RUNNING)[1] == "0\n")

    def test_an_insert_is_finished_though_its_client_has_gone(self, port: int, ask: Any, table: str) -> None:
        slow = (
            "INSERT INTO t (a) SELECT number FROM numbers(20) WHERE sleepEachRow(0.1) = 0 SETTINGS max_block_size = 5"
        )
        client = begin(port, slow)
        eventually(
            lambda: ask("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO t (a)%'")[1] == "1\n"
        )
        client.close()
        eventually(lambda: ask("SELECT count() FROM t")[1] == "20\n")

    def test_a_client_that_reads_all_it_asked_for_is_not_taken_for_gone(self, ask: Any) -> None:
        slow = "SELECT sum(sleepEachRow(0.3) + 1) FROM numbers(5) SETTINGS max_block_size = 1"
        assert ask(slow) == (200, "5\n")

    def test_the_engine_lives_on_after_clients_that_went_amid_their_answers(self, port: int, ask: Any) -> None:
        for read_first in [False] * 60 + [True] * 20:
            client = begin(port, "SELECT number, toString(number) FROM numbers(100000000)")
            if read_first:
                client.recv(1000)
            client.close()
        eventually(lambda: ask("SELECT count() FROM system.processes") == (200, "1\n"))

    def test_beside_long_queries_only_short_ones_run(
        self, port: int, ask: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clickhouse_query, "SHORT_S", 0.5)
        monkeypatch.setattr(clickhouse_turns, "TURN_WITHIN_S", 0.2)
        clients = [begin(port, ENDLESS) for _ in range(AT_ONCE[Room.QUERIES] + 1)]
        told, _, _ = select.select(clients, [], [], WITHIN_S)
        assert len(told) == 1
        answer = told[0].recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"TOO_MANY_SIMULTANEOUS_QUERIES" in answer
        status, text = ask("CREATE TABLE never (a Int8) ENGINE = Memory")
        assert (status, "try again" in text) == (503, True), text
        for client in clients:
            client.close()
        eventually(lambda: ask(RUNNING)[1] == "0\n")


class TestErrorsAmidAnAnswer:
    def test_the_reason_follows_the_rows_as_clickhouse_frames_it(self, port: int) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=WITHIN_S)
        connection.request("POST", "/", FAILING.encode())
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as broken_off:
            answer.read()
        tag = answer.headers["X-ClickHouse-Exception-Tag"]
        found = re.search(
            rf"\r\n__exception__\r\n{tag}\r\n(.*)(\d\d+) {tag}\r\n__exception__\r\n$".encode(), tail(broken_off), re.S
        )
        assert found is not None
        assert found[1].startswith(b"Code: 395. DB::Exception: late")

    def test_the_ordinary_client_raises_it_with_its_number_and_name(self, port: int) -> None:
        client = clickhouse_connect.get_client(host=LOOPBACK, port=port)
        with pytest.raises(DatabaseError, match="late"), client.query_row_block_stream(FAILING) as blocks:
            sum(len(block) for block in blocks)
        client.close()


def tail(broken_off: Any) -> bytes:
    return bytes(broken_off.value.partial[-2000:])

"""The embedded ClickHouse serves ClickHouse's own client and curl, in ClickHouse's own words."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from streams.embedded import Servers
from tests.waiting import WITHIN_S

TABLE = (
    "CREATE TABLE heroes (id UInt64, name String, met DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id "
    "SETTINGS non_replicated_deduplication_window = 100"
)
COLUMNS = ["id", "name", "met"]
#: The client gives times in UTC without saying so.
DAY = datetime(2024, 5, 1)

PROTOBUF = {
    "format_schema_source": "string",
    "format_schema_message_name": "Hero",
    "format_schema": 'syntax = "proto3";\n\nmessage Hero {\n  uint64 id = 1;\n  string name = 2;\n}\n',
}
#: Two length-prefixed messages: {id: 1, name: "Ada"} and {id: 2, name: "Bo"}.
TWO_HEROES = b"\x07\x08\x01\x12\x03Ada" + b"\x06\x08\x02\x12\x02Bo"


@pytest.fixture
def client(clickhouse: str) -> Iterator[Any]:
    client = clickhouse_connect.get_client(dsn=clickhouse)
    client.command(TABLE)
    yield client
    client.close()


def request(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers of a GET, or of a POST where there is a body."""
    asked = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(asked, timeout=WITHIN_S) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(), dict(refused.headers)


def query_url(server: str, query: str, **parameters: str) -> str:
    return f"{server}/?{urllib.parse.urlencode({'query': query, **parameters})}"


@pytest.fixture
def server(servers: Servers) -> str:
    return servers.clickhouse


class TestTheOrdinaryClient:
    def test_rows_inserted_are_the_rows_selected(self, client: Any) -> None:
        written = client.insert("heroes", [[1, "Ada", DAY], [2, "Bo", DAY]], column_names=COLUMNS)
        assert written.written_rows == 2
        assert client.query("SELECT id, name, met FROM heroes ORDER BY id").result_rows == [
            (1, "Ada", DAY),
            (2, "Bo", DAY),
        ]

    def test_an_arrow_table_goes_in_and_comes_out(self, client: Any) -> None:
        table = pa.table({"id": pa.array([1, 2], pa.uint64()), "name": ["Ada", "Bo"]})
        client.insert_arrow("heroes", table)
        assert client.query_arrow("SELECT id, name FROM heroes ORDER BY id").to_pydict() == table.to_pydict()

    def test_parameters_are_bound_by_the_server(self, client: Any) -> None:
        client.insert("heroes", [[1, "it's \\ a\ttrap", DAY]], column_names=COLUMNS)
        found = client.query(
            "SELECT id FROM heroes WHERE name = {name:String} AND id IN {ids:Array(UInt64)}",
            parameters={"name": "it's \\ a\ttrap", "ids": [1, 2]},
        )
        assert found.result_rows == [(1,)]

    def test_a_parameter_too_long_for_an_address_is_bound_as_well(self, client: Any) -> None:
        long = "x" * 200_000
        assert client.query("SELECT length({s:String})", parameters={"s": long}).result_rows == [(len(long),)]

    def test_a_command_answers_with_its_value(self, client: Any) -> None:
        assert client.command("SELECT count() FROM heroes") == 0
        assert client.command("EXISTS TABLE heroes") == 1

    def test_a_data_frame_has_the_columns_of_the_query(self, client: Any) -> None:
        frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(3)")
        assert frame.to_dict("list") == {"n": [0, 1, 2], "s": ["0", "1", "2"]}

    def test_bad_sql_is_a_database_error_with_the_engines_number_and_name(self, client: Any) -> None:
        for sql, code, name in (
            ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
            ("SELEC 1", 62, "SYNTAX_ERROR"),
            ("SELECT nothing_like_it(1)", 46, "UNKNOWN_FUNCTION"),
            (TABLE, 57, "TABLE_ALREADY_EXISTS"),
        ):
            with pytest.raises(DatabaseError) as raised:
                client.command(sql)
            assert (raised.value.code, raised.value.name) == (code, name)

    @pytest.mark.parametrize("packing", ["lz4", "zstd", "gzip", False])
    def test_a_packed_insert_is_unpacked(self, clickhouse: str, client: Any, packing: str | bool) -> None:
        packed = clickhouse_connect.get_client(dsn=clickhouse, compress=packing)
        packed.insert("heroes", [[number, "x" * 40, DAY] for number in range(30_000)], column_names=COLUMNS)
        packed.close()
        assert client.command("SELECT uniqExact(id) FROM heroes") == 30_000

    def test_a_large_answer_is_streamed_whole(self, client: Any) -> None:
        with client.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
            assert sum(len(block) for block in blocks) == 500_000

    def test_an_answer_that_fails_on_its_way_is_not_taken_for_a_whole_one(self, client: Any) -> None:
        failing = "SELECT number, throwIf(number = 900000) FROM numbers(1000000) SETTINGS max_block_size = 10000"
        with pytest.raises(DatabaseError, match="throwIf"), client.query_row_block_stream(failing) as blocks:
            sum(len(block) for block in blocks)

    def test_a_session_keeps_its_temporary_table_and_only_that(self, clickhouse: str, client: Any) -> None:
        client.command("CREATE TEMPORARY TABLE mine (id UInt8)")
        client.command("INSERT INTO mine VALUES (7)")
        assert client.query("SELECT id FROM mine").result_rows == [(7,)]
        assert client.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 77}) == 77
        assert client.command("SELECT getSetting('max_block_size')") != 77
        other = clickhouse_connect.get_client(dsn=clickhouse)
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            other.command("SELECT count() FROM mine")
        other.close()

    def test_reads_do_not_wait_behind_a_long_query(self, clickhouse: str, client: Any) -> None:
        slow = clickhouse_connect.get_client(dsn=clickhouse)
        ended = threading.Event()

        def run_slowly() -> None:
            # Three seconds are the most for a block: several, so that five short answers take less on any machine.
            slow.command("SELECT sleepEachRow(2) FROM numbers(4) SETTINGS max_block_size = 1")
            ended.set()

        running = threading.Thread(target=run_slowly)
        running.start()
        answers = [client.command("SELECT 1") for _ in range(5)]
        assert not ended.is_set()
        assert answers == [1] * 5
        running.join()
        slow.close()

    def test_external_data_is_refused_in_a_sentence(self, client: Any) -> None:
        data = ExternalData(file_name="extra", data=b"1\n", structure="id Int8", fmt="CSV")
        with pytest.raises(DatabaseError, match=r"(?i)external data .* is not offered"):
            client.query("SELECT * FROM extra", external_data=data)


class TestInsertsThatHappenOnce:
    def test_the_same_token_twice_leaves_the_rows_once(self, client: Any) -> None:
        for _ in range(2):
            client.insert(
                "heroes", [[1, "Ada", DAY]], column_names=COLUMNS, settings={"insert_deduplication_token": "a"}
            )
        assert client.command("SELECT count() FROM heroes") == 1
        client.insert("heroes", [[1, "Ada", DAY]], column_names=COLUMNS, settings={"insert_deduplication_token": "b"})
        assert client.command("SELECT count() FROM heroes") == 2

    def test_the_same_token_counts_once_in_what_is_derived(self, client: Any) -> None:
        client.command(
            "CREATE TABLE counted (name String, heroes SimpleAggregateFunction(sum, UInt64)) ENGINE = "
            "AggregatingMergeTree ORDER BY name SETTINGS non_replicated_deduplication_window = 100"
        )
        client.command(
            "CREATE MATERIALIZED VIEW counting TO counted AS SELECT name, count() AS heroes FROM heroes GROUP BY name"
        )
        once = {"insert_deduplication_token": "a", "deduplicate_blocks_in_dependent_materialized_views": 1}
        for _ in range(3):
            client.insert("heroes", [[1, "Ada", DAY]], column_names=COLUMNS, settings=once)
        assert client.command("SELECT sum(heroes) FROM counted") == 1

    def test_raw_protobuf_with_its_schema_inline_becomes_typed_columns(self, client: Any) -> None:
        for _ in range(2):
            settings = {**PROTOBUF, "insert_deduplication_token": "batch"}
            client.raw_insert("heroes", insert_block=TWO_HEROES, fmt="Protobuf", settings=settings)
        assert client.query("SELECT id, name FROM heroes ORDER BY id").result_rows == [(1, "Ada"), (2, "Bo")]

    def test_a_row_that_does_not_parse_leaves_none_of_its_insert(self, client: Any) -> None:
        with pytest.raises(DatabaseError) as raised:
            client.raw_insert("heroes", ["id", "name"], insert_block="1,Ada\nx,Bo\n", fmt="CSV")
        assert raised.value.code == 27
        assert client.command("SELECT count() FROM heroes") == 0


class TestCurl:
    def curl(self, *arguments: str, data: bytes = b"") -> str:
        done = subprocess.run(
            ["curl", "-sS", *arguments], input=data, capture_output=True, timeout=WITHIN_S, check=True
        )
        return done.stdout.decode()

    def test_a_query_in_the_address_and_one_in_the_body(self, server: str) -> None:
        assert self.curl(f"{server}/?query=SELECT%201%2B1") == "2\n"
        assert self.curl("-d", "SELECT 'posted'", server) == "posted\n"
        assert self.curl(server) == self.curl(f"{server}/ping") == "Ok.\n"

    def test_a_file_is_inserted_under_the_statement_of_the_address(self, server: str, clickhouse_database: str) -> None:
        self.curl("-d", f"CREATE TABLE {clickhouse_database}.t (a UInt8, b String) ENGINE = Memory", server)
        url = query_url(server, "INSERT INTO t FORMAT CSV", database=clickhouse_database)
        assert self.curl("--data-binary", "@-", url, data=b"1,one\n2,two\n") == ""
        url = query_url(
            server, "SELECT * FROM t ORDER BY a", database=clickhouse_database, default_format="JSONEachRow"
        )
        assert [json.loads(line) for line in self.curl(url).splitlines()] == [
            {"a": 1, "b": "one"},
            {"a": 2, "b": "two"},
        ]

    def test_a_body_beyond_a_megabyte_arrives_whole(self, server: str, clickhouse_database: str) -> None:
        self.curl("-d", f"CREATE TABLE {clickhouse_database}.t (line String) ENGINE = Memory", server)
        lines = b"".join(b"%07d%093d\n" % (number, 0) for number in range(50_000))
        url = query_url(server, "INSERT INTO t FORMAT LineAsString", database=clickhouse_database)
        self.curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@-", url, data=lines)
        url = query_url(server, "SELECT count(), uniqExact(line) FROM t", database=clickhouse_database)
        assert self.curl(url) == "50000\t50000\n"


class TestTheInterface:
    def test_an_error_has_its_number_in_a_header_and_a_fitting_status(self, server: str) -> None:
        status, text, headers = request(server, b"SELECT * FROM nowhere")
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "60")
        assert text.startswith("Code: 60. DB::Exception:")

    def test_an_answer_says_its_format_its_query_and_its_counts(self, server: str) -> None:
        url = f"{server}/?query_id=mine&wait_end_of_query=1"
        status, text, headers = request(url, b"SELECT toUInt8(number) FROM numbers(3) FORMAT JSONCompactColumns")
        assert (status, json.loads(text)) == (200, [[0, 1, 2]])
        assert headers["X-ClickHouse-Format"] == "JSONCompactColumns"
        assert headers["X-ClickHouse-Query-Id"] == "mine"
        assert json.loads(headers["X-ClickHouse-Summary"])["result_rows"] == "3"

    def test_a_get_only_reads(self, server: str, clickhouse_database: str) -> None:
        for sql in ("CREATE TABLE t (a Int8) ENGINE = Memory", "INSERT INTO t FORMAT CSV 1", "DROP DATABASE default"):
            status, text, headers = request(query_url(server, sql, database=clickhouse_database))
            assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164"), text

    def test_values_with_parameters_are_bound(self, server: str, clickhouse_database: str) -> None:
        here = {"database": clickhouse_database}
        request(f"{server}/?{urllib.parse.urlencode(here)}", b"CREATE TABLE t (a UInt8, b String) ENGINE = Memory")
        url = f"{server}/?{urllib.parse.urlencode({**here, 'param_b': 'bound'})}"
        status, text, _ = request(url, b"INSERT INTO t VALUES (1, {b:String})")
        assert (status, text) == (200, "")
        assert request(query_url(server, "SELECT b FROM t", **here))[1] == "bound\n"

    @pytest.mark.parametrize(
        ("query", "parameters", "status", "sentence"),
        [
            ("SELECT 1; SELECT 2", {}, 400, "one statement a request"),
            ("SELECT * FROM file('/etc/passwd', 'LineAsString')", {}, 501, "reaches outside the database"),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", {}, 501, "over HTTP"),
            ("INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV", {}, 501, "over HTTP"),
            ("SELECT 1", {"role": "boss"}, 501, "no roles"),
            ("SELECT 1", {"user": "bob"}, 403, "Authentication failed"),
            ("SELECT 1", {"session_id": "unheard", "session_check": "1"}, 404, "SESSION_NOT_FOUND"),
            ("SELECT 1", {"no_such_setting": "1"}, 404, "UNKNOWN_SETTING"),
            ("", {}, 400, "Empty query"),
        ],
    )
    def test_what_is_not_done_is_said(
        self, server: str, query: str, parameters: dict[str, str], status: int, sentence: str
    ) -> None:
        answered, text, headers = request(query_url(server, query, **parameters), b"")
        assert answered == status
        assert sentence in text
        assert "X-ClickHouse-Exception-Code" in headers

    def test_a_page_from_elsewhere_is_not_served(self, server: str) -> None:
        assert request(server, b"SELECT 1", {"Origin": "https://somewhere.example"})[0] == 501
        assert request(server, b"SELECT 1", {"Origin": "http://localhost:6066"})[:2] == (200, "1\n")

    def test_a_connection_goes_on_after_an_error(self, server: str) -> None:
        connection = http.client.HTTPConnection(server.removeprefix("http://"))
        for body, status in ((b"SELEC", 400), (b"SELECT 1", 200), (b"SELECT * FROM nowhere", 404), (b"SELECT 2", 200)):
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()

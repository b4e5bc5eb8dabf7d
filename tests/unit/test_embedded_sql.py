"""What an HTTP server has to know of a ClickHouse statement is read right, whatever stands in strings and comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.embedded.clickhouse_sql import RowsBehindSemicolon, read, values


def split(sql: bytes) -> tuple[bytes, str | None, bytes]:
    statement = read(sql)
    assert statement.head_end is not None
    assert statement.data_start is not None
    return sql[: statement.head_end], statement.format, sql[statement.data_start :]


@pytest.mark.parametrize(
    ("sql", "head", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t ", "CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"insert into db.t (a, b) format Native\r\n\x01\x02", b"insert into db.t (a, b) ", "Native", b"\x01\x02"),
        (b"INSERT INTO t FORMAT TSV\n\n1", b"INSERT INTO t ", "TSV", b"\n1"),
        (b"INSERT INTO t VALUES (1, 'FORMAT CSV')", b"INSERT INTO t ", "Values", b" (1, 'FORMAT CSV')"),
        (b"INSERT INTO t FORMAT VALUES (1)", b"INSERT INTO t ", "Values", b" (1)"),
        (b"INSERT INTO t SETTINGS a = 'x' FORMAT CSV\n1", b"INSERT INTO t SETTINGS a = 'x' ", "CSV", b"1"),
        (b"INSERT INTO format FORMAT CSV\n1", b"INSERT INTO format ", "CSV", b"1"),
        (b"INSERT INTO db.format VALUES (1)", b"INSERT INTO db.format ", "Values", b" (1)"),
        (b"INSERT INTO `FORMAT x` (format) FORMAT CSV\n1", b"INSERT INTO `FORMAT x` (format) ", "CSV", b"1"),
        (
            b"/* FORMAT a */ INSERT INTO t -- FORMAT b\n FORMAT c\nd",
            b"/* FORMAT a */ INSERT INTO t -- FORMAT b\n ",
            "c",
            b"d",
        ),
        (b"INSERT INTO TABLE t (a) FORMAT Protobuf\n\x00\xff'", b"INSERT INTO TABLE t (a) ", "Protobuf", b"\x00\xff'"),
        (b"INSERT INTO t (from, to) FORMAT CSV\n1", b"INSERT INTO t (from, to) ", "CSV", b"1"),
    ],
)
def test_an_insert_is_cut_where_its_data_begins(sql: bytes, head: bytes, data_format: str, data: bytes) -> None:
    assert split(sql) == (head, data_format, data)


@given(st.binary(max_size=200))
def test_no_byte_of_the_data_is_lost_or_read_as_sql(data: bytes) -> None:
    assert split(b"INSERT INTO t (a) FORMAT RowBinary\n" + data) == (b"INSERT INTO t (a) ", "RowBinary", data)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(sql: bytes) -> None:
    read(sql)


@pytest.mark.parametrize(
    "sql",
    [b"INSERT INTO t SELECT 1 FORMAT CSV", b"INSERT INTO t (SELECT 1)", b"INSERT INTO t (a) WITH 1 AS x SELECT x"],
)
def test_an_insert_of_a_query_takes_no_data(sql: bytes) -> None:
    assert not read(sql).takes_data


@pytest.mark.parametrize(
    ("sql", "keyword", "answer_format"),
    [
        (b"SELECT 1", "SELECT", None),
        (b"-- FORMAT JSON\nselect 'FORMAT CSV' as format", "SELECT", None),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "SELECT", "JSON"),
        (b"SELECT format('{}', 1) FORMAT `x`", "SELECT", None),
        (b"SELECT * FROM (SELECT 1 FORMAT JSON)", "SELECT", None),
        (b"WITH 1 AS x SELECT x FORMAT Native;", "WITH", "Native"),
        (b"(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV", "(", "CSV"),
        (b"  ", "", None),
        (b"/* nothing */ -- at all", "", None),
        (b"SELECT $tag$ FORMAT JSON $tag$", "SELECT", None),
    ],
)
def test_the_format_of_an_answer_is_the_one_at_the_end(sql: bytes, keyword: str, answer_format: str | None) -> None:
    statement = read(sql)
    assert (statement.keyword, statement.format, statement.takes_data) == (keyword, answer_format, False)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("data", [b"(1, 'a;b')", b"(1, 'it\\';'), (2, 'x''; y');", b"(1, '\\\\'); \n"])
@given(size=st.integers(1, 30))
def test_values_pass_whole_wherever_they_are_cut(data: bytes, size: int) -> None:
    assert b"".join(values(cut(data, size))) == data


@pytest.mark.parametrize("data", [b"(1, 'a'); (2, 'b')", b"(1, 'it\\'s'); x", b"(1, '\\\\'); (2, '')", b"(1); ; (2)"])
@given(size=st.integers(1, 30))
def test_what_follows_the_semicolon_of_values_is_not_left_out(data: bytes, size: int) -> None:
    with pytest.raises(RowsBehindSemicolon):
        list(values(cut(data, size)))

"""ClickHouse's packed blocks and its newer Native are written as its clients read them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.embedded import clickhouse_native
from streams.embedded.clickhouse_blocks import BLOCK_BYTES, Blocks, packed
from streams.embedded.clickhouse_engine import Context, Engine, EngineError, run
from streams.embedded.http_body import BodyRefused, pieces

NATIVE_TYPES = """
    toUInt8(number) AS a, toString(number) AS b, repeat('x', number * 100) AS c, [number, 1] AS d,
    [[toString(number)]] AS e,
    if(number % 2, NULL, number) AS f, toLowCardinality(toString(number % 3)) AS g,
    toLowCardinality(if(number % 2, NULL, 'y')) AS h, arrayMap(x -> toLowCardinality(toString(x)), range(number)) AS i,
    map('k', number) AS j, (number, 'z', toDecimal64(1, 2))::Tuple(`a (b` UInt64, y String, z Decimal(18, 2)) AS k,
    CAST('q' AS Enum8('q' = 1, 'it''s, (no)' = 2)) AS l, toFixedString('abc', 3) AS m, generateUUIDv4() AS n,
    toDateTime64(number, 3, 'UTC') AS o, toDate(number) AS p, toIPv6('::1') AS q, toDecimal256(number, 3) AS r,
    (1.0, 2.0)::Point AS s, [[(1.0, 2.0)]]::Polygon AS t, [(number, 'n')]::Nested(u UInt64, v String) AS u,
    toIntervalDay(number) AS v, NULL AS w, [] AS x, toBool(1) AS y, toInt128(number) AS z,
    map('k', [toLowCardinality('v')]) AS aa
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(Path(tmp_path_factory.mktemp("blocks")))
    yield engine
    engine.close()


def native(engine: Engine, sql: str) -> bytes:
    with engine.connection(Context()) as connection:
        return bytes(run(connection, sql, "Native", {}).bytes())


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_what_is_packed_comes_out(data: bytes, size: int) -> None:
    reader = Blocks(io.BytesIO(b"".join(packed(data))))
    assert b"".join(iter(lambda: reader.read(size), b"")) == data


def test_large_data_is_several_blocks() -> None:
    data = bytes(BLOCK_BYTES * 2 + 1)
    blocks = list(packed(data))
    assert len(blocks) == 3
    assert b"".join(pieces(Blocks(io.BytesIO(b"".join(blocks))))) == data


@given(st.binary(min_size=1, max_size=300), st.data())
def test_blocks_that_are_cut_off_or_damaged_are_refused(data: bytes, drawn: st.DataObject) -> None:
    block = b"".join(packed(data))
    at = drawn.draw(st.integers(0, len(block) - 1))
    damaged = block[:at] + bytes([block[at] ^ drawn.draw(st.integers(1, 255))]) + block[at + 1 :]
    for broken in (block[:at] if at else b"x", damaged, block + b"rubbish"):
        with pytest.raises(BodyRefused):
            b"".join(pieces(Blocks(io.BytesIO(broken))))


@pytest.mark.parametrize("rows", [0, 1, 7, 300])
def test_a_newer_native_differs_by_the_blocks_facts_and_a_byte_a_column(engine: Engine, rows: int) -> None:
    old = native(engine, f"SELECT {NATIVE_TYPES} FROM numbers({rows}) SETTINGS max_block_size = 100")
    new = clickhouse_native.renewed(old)
    blocks = -(-rows // 100) if rows else min(len(old), 1)
    columns = 27
    assert len(new) == len(old) + blocks * (8 + columns)


@pytest.mark.parametrize("column", ["toUInt8(1)", "repeat('x', 200)", "[map('k', (1, [toLowCardinality('v')]))]"])
def test_each_part_stands_where_it_stood(engine: Engine, column: str) -> None:
    old = native(engine, f"SELECT {column} AS first, 'the end' AS last FROM numbers(3)")
    new = clickhouse_native.renewed(old)
    assert new.endswith(b"\x04last\x06String\x00" + b"\x07the end" * 3)
    assert new.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x02\x03\x05first")


def test_a_type_whose_end_cannot_be_found_is_refused_in_a_sentence(engine: Engine) -> None:
    for column in ("sumState(number)", "CAST(1 AS Variant(UInt8, String))", "CAST('{}' AS JSON)"):
        old = native(engine, f"SELECT {column} AS a FROM numbers(1) GROUP BY number SETTINGS enable_json_type = 1")
        with pytest.raises(EngineError, match=r"toString\(\)"):
            clickhouse_native.renewed(old)

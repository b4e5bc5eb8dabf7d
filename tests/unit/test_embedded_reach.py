"""What reaches outside the database is refused in any disguise, and names that only look like it are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded import clickhouse_reach
from streams.embedded.clickhouse_engine import Context, Engine, EngineError, run, tree
from streams.embedded.clickhouse_sql import read


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(Path(tmp_path_factory.mktemp("reach")))
    yield engine
    engine.close()


def refusal(engine: Engine, sql: str) -> str | None:
    statement = read(sql.encode())
    parsed = f"{sql.encode()[: statement.head_end].decode()}\nFORMAT Null" if statement.takes_data else sql
    with engine.connection(Context()) as connection:
        return clickhouse_reach.refusal(tree(connection, parsed, {}), statement.tokens, {}, engine.outside)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM File ( '/etc/passwd')",
        "SELECT * FROM \"file\"('/etc/passwd')",
        "SELECT * FROM `url`('http://x')",
        "SELECT * FROM `\\x75rl`('http://x')",
        "SELECT * FROM \"\\x66ile\"('/etc/passwd')",
        "SELECT * FROM \u201curl\u201d('http://x')",
        "SELECT * FROM url\u00a0('http://x')",
        "SELECT * FROM -- a comment\nurl/* another */('http://x')",
        "SELECT file('/etc/passwd')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        "SELECT * APPLY file FROM (SELECT '/etc/passwd')",
        "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd')",
        "SELECT 1 WHERE (SELECT count() FROM s3/**/('x')) > 0",
        "SELECT 1 IN url('http://x')",
        "SELECT 1 UNION ALL SELECT * FROM (SELECT * FROM numbers(1) JOIN mysql('a', 'b', 'c', 'd', 'e') USING x)",
        "WITH url AS (SELECT 1) SELECT * FROM url('http://x')",
        "SELECT * FROM loop(url('http://x'))",
        "SELECT * FROM view(SELECT * FROM file('/etc/passwd'))",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM python(x)",
        "SELECT * FROM filesystem('/')",
        "SELECT hasColumnInTable('host', 'user', 'password', 'd', 't', 'c')",
        "DESCRIBE TABLE url('http://x')",
        "EXPLAIN SELECT * FROM url('http://x')",
        "INSERT INTO FUNCTION file('x') VALUES (1)",
        "INSERT INTO TABLE FUNCTION remote('x', a.b) FORMAT CSV\n1",
        "INSERT INTO t SELECT * FROM remote('x', a.b)",
        "INSERT INTO url SELECT * FROM url('http://x')",
        "CREATE TABLE t (a Int8) ENGINE = URL('http://x')",
        "CREATE TABLE t (a Int8) ENGINE = `\\x55RL`('http://x')",
        "CREATE TABLE url (a Int8) ENGINE = MySQL('a', 'b', 'c', 'd', 'e')",
        "CREATE TABLE t (a Int8) ENGINE = Distributed('c', d, t)",
        "CREATE TABLE t AS file('/etc/passwd')",
        "CREATE TABLE t (a Int8 DEFAULT length(file('/etc/passwd'))) ENGINE = Memory",
        "CREATE TABLE t (a Int8, CONSTRAINT c CHECK file('/etc/passwd') = '') ENGINE = Memory",
        "CREATE DATABASE d ENGINE = PostgreSQL('a', 'b', 'c', 'd')",
        "CREATE VIEW v AS SELECT * FROM s3('x')",
        "CREATE FUNCTION f AS x -> file(x)",
        "CREATE ROW POLICY p ON t USING file('/etc/passwd') = ''",
        "CREATE MATERIALIZED VIEW v ENGINE = S3('x') AS SELECT 1",
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/x')",
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = `d\\x69sk`(type = local, path = '/')",
        "ALTER TABLE t MODIFY SETTING disk = disk(type = local, path = '/tmp/x')",
        "ALTER TABLE t UPDATE a = file('/etc/passwd') WHERE 1",
        "DELETE FROM t WHERE file('/etc/passwd') = ''",
        "COPY (SELECT * FROM file('/etc/passwd')) TO STDOUT",
        "ATTACH TABLE t FROM '/tmp/x' (a Int8) ENGINE = Memory",
        "BACKUP TABLE t TO File('x')",
        "RESTORE TABLE t FROM Disk('default', 'x')",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 INTO\u00a0OUTFILE \u2018x\u2019",
        "SELECT a$x$ INTO OUTFILE 'f' FORMAT CSV SETTINGS max_threads = 1",
        "SHOW TABLES INTO OUTFILE 'x'",
        "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '/etc/passwd'",
        "SELECT 1 FORMAT Template SETTINGS max_threads = 1, `format_template_row` = '/etc/passwd'",
        "SET format_template_row = '/etc/passwd'",
        "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '/etc/passwd:X'",
        "SELECT 1 FORMAT Protobuf SETTINGS format_schema_source = 'query', format_schema = 'SELECT 1'",
        "INSERT INTO t SETTINGS input_format_record_errors_file_path = '/tmp/x' FORMAT CSV\n1",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO t FROM INFILE \u2018x\u2019 FORMAT CSV",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(path 'x' format 'CSV')) LIFETIME(0) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'x' format 'CSV')) LIFETIME(0) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE(HOST 'x' TABLE 't')) LIFETIME(0) LAYOUT(FLAT())",
    ],
)
def test_what_reaches_outside_the_database_is_refused(engine: Engine, sql: str) -> None:
    assert refusal(engine, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'file(1)', file FROM t",
        "SELECT a AS url, (1) FROM t -- file('x')",
        "SELECT url FROM t WHERE url IN ('a') ORDER BY url",
        "SELECT url.url, (SELECT 1) FROM url JOIN s3 USING (file)",
        "SELECT * FROM infile",
        "SELECT outfile FROM file AS remote",
        "WITH url AS (SELECT 1 AS id) SELECT id FROM url",
        "SELECT domain(url), path(url), log(2), file FROM db.url",
        "SELECT * FROM numbers(3), generateRandom('a Int8'), format(CSV, '1')",
        "INSERT INTO url (id, url) VALUES (1, 'x')",
        "INSERT INTO db.url (id, url) FORMAT CSV\n1,x",
        'INSERT INTO TABLE "s3" (file) FORMAT TSV\nx',
        "INSERT INTO url SELECT 1, 'x'",
        "INSERT INTO outfile (id) VALUES (1)",
        "INSERT INTO disk VALUES (1)",
        'CREATE TABLE "disk" (file String, url String) ENGINE = MergeTree ORDER BY url',
        "CREATE TABLE IF NOT EXISTS url (id Int8, INDEX file (id) TYPE minmax) ENGINE = Memory",
        "CREATE TABLE d.remote (a Int8) ENGINE = ReplacingMergeTree(a) ORDER BY (a, cityHash64(a))",
        "CREATE VIEW url (a Int8) AS SELECT 1 AS a",
        "CREATE MATERIALIZED VIEW v TO url (a Int8) AS SELECT 1 AS a",
        "CREATE DICTIONARY url (host String, url String) PRIMARY KEY host SOURCE(CLICKHOUSE(TABLE 't')) "
        "LIFETIME(0) LAYOUT(COMPLEX_KEY_HASHED())",
        "ALTER TABLE url ADD COLUMN file String, ADD INDEX url (id) TYPE minmax",
        "DROP TABLE url",
        "RENAME TABLE file TO url",
        "OPTIMIZE TABLE s3",
        "SET max_threads = 1",
        "SELECT format_schema FROM t WHERE format_schema = 'x' SETTINGS max_threads = 1",
        "SELECT 1 FORMAT Protobuf SETTINGS format_schema_source = 'string', format_schema = 'syntax = \"proto3\";'",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "BACKUP TABLE url TO Null",
    ],
)
def test_a_name_that_only_looks_like_it_is_none(engine: Engine, sql: str) -> None:
    assert refusal(engine, sql) is None


def test_settings_of_the_address_reach_no_file_either(engine: Engine) -> None:
    def asked(**settings: str) -> str | None:
        return clickhouse_reach.refusal("", read(b"SELECT 1").tokens, settings, engine.outside)

    assert asked(format_template_row="/etc/passwd")
    assert asked(format_schema="/etc/passwd:X")
    assert asked(format_schema_source="query", format_schema="SELECT 1")
    assert asked(format_schema_source="string", format_schema="message X {}") is None
    assert asked(max_threads="1") is None


def test_every_call_that_the_engine_has_is_known_or_refused(engine: Engine) -> None:
    with engine.connection(Context()) as connection:
        listed = (
            run(connection, "SELECT lower(name) FROM system.functions", "TabSeparated", {}).bytes().decode().split()
        )
    ai = {name for name in listed if name.startswith("ai")}
    assert engine.outside.intersection(listed) == {*ai, "file", "hascolumnintable"}
    assert {"url", "s3", "mysql", "executable", "python", "distributed", "kafka"} <= engine.outside
    assert not engine.outside & {"mergetree", "summingmergetree", "memory", "numbers", "view", "merge"}


def test_what_does_not_parse_is_told_as_the_engine_tells_it(engine: Engine) -> None:
    told = []
    for parse in (lambda connection: tree(connection, "SELECT ,", {}), lambda c: run(c, "SELECT ,", "CSV", {})):
        with engine.connection(Context()) as connection, pytest.raises(EngineError) as raised:
            parse(connection)
        told.append(str(raised.value))
    found = [sentence.partition(" Expected one of")[0] for sentence in told]
    assert found[0] == found[1]
    assert "failed at position 9" in found[0]

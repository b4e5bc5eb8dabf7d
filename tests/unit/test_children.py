"""Children: started again when they die, stopped when told, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from streams import children
from streams.children import DEATHS_IN_A_ROW_MAX, Child, ChildFailed, Command
from tests.waiting import WITHIN_S


def python(code: str, folder: Path, **more: object) -> Command:
    return Command("child", (sys.executable, "-c", code), folder / "child.log", **more)  # type: ignore[arg-type]


async def until(condition: object, what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "RESTART_DELAY_FIRST_S", 0.01)


async def test_a_child_that_dies_is_started_again_and_counted(tmp_path: Path) -> None:
    child = Child(python("import time; time.sleep(600)", tmp_path))
    keeping = asyncio.create_task(child.keep())
    await until(lambda: child.processes(), "the child started")
    (first,) = child.processes()
    first.send_signal(signal.SIGKILL)
    await until(lambda: child.processes() not in ([], [first]), "the child was started again")
    assert child.restarts == 1
    await child.stop()
    await keeping
    assert child.processes() == []


async def test_a_child_that_keeps_dying_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = Child(python("raise SystemExit('no such dungeon')", tmp_path))
    with pytest.raises(ChildFailed, match="no such dungeon"):
        await child.keep()
    assert child.restarts == DEATHS_IN_A_ROW_MAX - 1


async def test_a_child_that_is_told_to_stop_ends_in_its_own_way(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(7))\nprint('up', flush=True)\nsignal.pause()"
    child = Child(python(code, tmp_path))
    child.start()
    await until(lambda: "up" in (tmp_path / "child.log").read_text(), "the child is up")
    assert await child.stop() == 7
    assert not child.running


async def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\nsignal.pause()"
    child = Child(python(code, tmp_path, stop_within_s=0.2))
    child.start()
    await until(lambda: "up" in (tmp_path / "child.log").read_text(), "the child is up")
    processes = child.processes()
    await child.stop()
    assert not [process for process in processes if process.is_running()]


async def test_output_can_go_elsewhere_than_complaints(tmp_path: Path) -> None:
    code = "import sys; print('an answer'); print('a complaint', file=sys.stderr)"
    child = Child(python(code, tmp_path, output=tmp_path / "child.out"))
    child.start()
    assert await child.ended() == 0
    assert (tmp_path / "child.out").read_text() == "an answer\n"
    assert (tmp_path / "child.log").read_text() == "a complaint\n"


async def test_a_killed_parent_leaves_no_child_behind(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from streams.children import Child, Command
child = Child(Command("child", ("sleep", "600"), pathlib.Path({str(tmp_path)!r}) / "child.log"))
child.start()
while not child.processes():
    time.sleep(0.01)
print(child.processes()[0].pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=os.getcwd()) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert psutil.pid_exists(pid)
        parent.kill()
    await until(lambda: not psutil.pid_exists(pid), "the child went with its parent")


async def test_a_child_has_the_environment_it_was_given_beside_its_parents(tmp_path: Path) -> None:
    output = tmp_path / "child.out"
    code = "import os; print(os.environ['NORN_TOLD'], 'PATH' in os.environ, flush=True)"
    child = Child(python(code, tmp_path, output=output, environment={"NORN_TOLD": "yes"}))
    child.start()
    assert await child.ended() == 0
    assert output.read_text().split() == ["yes", "True"]

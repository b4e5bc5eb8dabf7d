"""The list of the workers of a home: true whatever became of those that wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from streams.roster import Member, listed, members
from tests.waiting import eventually


def test_a_worker_is_listed_for_as_long_as_it_runs(tmp_path: Path) -> None:
    assert members(tmp_path) == []
    with listed(tmp_path, "fold", "http://127.0.0.1:6066/"):
        assert members(tmp_path) == [Member("fold", os.getpid(), "http://127.0.0.1:6066/")]
    assert members(tmp_path) == []


def test_a_killed_worker_is_off_the_list_and_its_file_is_gone(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from streams.roster import listed
with listed(pathlib.Path({str(tmp_path)!r}), "history", "http://127.0.0.1:1/"):
    print("listed", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"listed\n"
        assert [member.pid for member in members(tmp_path)] == [worker.pid]
        worker.kill()
        eventually(lambda: members(tmp_path) == [])
    assert list((tmp_path / "run" / "workers").iterdir()) == []


def test_a_process_that_has_a_dead_workers_number_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "workers"
    folder.mkdir(parents=True)
    told = {"role": "fold", "pid": os.getpid(), "created": 1.0, "url": "http://127.0.0.1:1/"}
    (folder / f"{os.getpid()}.json").write_text(json.dumps(told))
    assert members(tmp_path) == []


def test_a_file_of_something_else_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "workers"
    folder.mkdir(parents=True)
    for number, text in enumerate(["", "[]", "{}", '{"role": 1}', "\x00"]):
        (folder / f"{number}.json").write_text(text)
    assert members(tmp_path) == []

"""A producer and a reader made before a fork: the child is told so, and the parent's events, files and lock are safe.

Each test runs a process of its own, which forks while the producer's thread is at work and ends as Python ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import decode
from streams.sdk.spill import Spill
from tests.sdk import nobody_listens

#: Far above what any of them takes; a child that waits for threads it does not have would never end.
_WITHIN_S = 60

_SETTING = """
import gc, multiprocessing, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from schemas import GoldGained
from streams.sdk import Decisions, MadeBeforeFork, Producer, SpillInUse
address, folder = sys.argv[1:]
GOLD = GoldGained(amount=3)

def refused(call):
    try:
        call()
    except MadeBeforeFork as error:
        assert "after the fork" in str(error), error
        return True
    return False

producer = Producer(address, spill=folder, away_s=0.05)
for n in range(500):
    producer.publish(GOLD, subject=f"hero-{n % 9}")
"""

_ENDING = """
pid = os.fork()
if pid == 0:
    assert refused(lambda: producer.publish(GOLD, subject="hero-1"))
    assert refused(producer.flush)
    assert producer.close() == 0
    assert producer.counters.queued == producer.counters.spilled == 0
    del producer
    gc.collect()
    sys.exit(0)  # as Python ends: what stands at exit is done, and all that is held is taken apart
for n in range(500):
    producer.publish(GOLD, subject=f"hero-{n % 9}")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
for n in range(500):
    producer.publish(GOLD, subject=f"hero-{n % 9}")
assert producer.close(timeout_s=0) == 1500
"""

_WORKER = """
def work():
    assert refused(lambda: producer.publish(GOLD, subject="hero-1"))
    try:
        Producer(address, spill=folder)
    except SpillInUse:
        pass
    else:
        raise AssertionError("the folder is the parent's")
    with Producer(address, spill=folder + "-child", away_s=0.05) as own:
        assert own.origin != producer.origin
        own.publish(GOLD, subject="hero-1")
        own.close(timeout_s=0)

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
assert worker.exitcode == 0, worker.exitcode
assert producer.close(timeout_s=0) == 500
"""

_OUTLIVED = """
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)  # until the parent has made its next producer
    os._exit(0)
assert producer.close(timeout_s=0) == 500
with Producer(address, spill=folder) as following:
    assert following.counters.spilled == 500
    following.close(timeout_s=0)
"""

_KILLED = """
import signal
if (child := os.fork()) == 0:
    signal.pause()
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

_READING = """
decisions = Decisions(address, timeout_s=0)
if (pid := os.fork()) == 0:
    assert refused(decisions.poll)
    decisions.close()
    del decisions
    gc.collect()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert decisions.poll(0.01) == []
decisions.close()
producer.close(timeout_s=0)
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _SETTING + script, nobody_listens(), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)


def dots(folder: Path) -> dict[tuple[str, str, int], list[int]]:
    """The numbers on disk, by origin, topic and partition."""
    found: dict[tuple[str, str, int], list[int]] = {}
    spilled = Spill(folder)
    while (batch := spilled.peek()) is not None:
        for _, value in batch.events:
            event = decode(value)
            found.setdefault((event.origin, batch.topic, batch.partition), []).append(event.sequence)
        spilled.advance()
    spilled.close()
    return found


@pytest.mark.parametrize(("script", "count"), [(_ENDING, 1500), (_WORKER, 500), (_OUTLIVED, 500)])
def test_a_child_is_refused_and_the_parent_goes_on_with_dense_dots(tmp_path: Path, script: str, count: int) -> None:
    folder = tmp_path / "spill"
    ran = run(script, folder)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    found = dots(folder)
    assert sum(map(len, found.values())) == count
    assert len({origin for origin, _, _ in found}) == 1
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in found.values())


def test_a_reader_made_before_a_fork_is_refused_in_the_child(tmp_path: Path) -> None:
    ran = run(_READING, tmp_path / "spill")
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    folder, told = tmp_path / "spill", tmp_path / "child"
    with told.open("w") as output:
        command = [sys.executable, "-c", _SETTING + _KILLED, nobody_listens(), str(folder)]
        assert subprocess.run(command, stdout=output, timeout=_WITHIN_S, check=False).returncode == -signal.SIGKILL
    child = int(told.read_text())
    try:
        os.kill(child, 0)
        Spill(folder).close()
    finally:
        os.kill(child, signal.SIGKILL)

"""Starting a server: waited for as long as it gets on, and given up when it ends or hangs."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from streams.embedded import launch
from streams.embedded.errors import ServerFailed, ServerStalled
from streams.embedded.launch import Launch

#: So short that a server which only sleeps is given up at once, and one that gets on must be seen to.
STILL_FOR_S = 1.0

READY = "import pathlib; pathlib.Path('ready').touch(); import signal; signal.pause()"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "STILL_FOR_S", STILL_FOR_S)
    monkeypatch.setattr(launch, "COMPUTED_S", 0.1)
    monkeypatch.setattr(launch, "LOOK_EVERY_S", 0.1)


def server(folder: Path, code: str) -> Launch:
    """A server that is healthy once it has made the file `ready`."""
    return Launch(
        name="server",
        url="",
        command=[sys.executable, "-c", code],
        log=folder / "server.log",
        folder=folder,
        healthy=(folder / "ready").exists,
    )


@pytest.mark.parametrize(
    "gets_on",
    [
        # Three times as long as one that does nothing is given, in steps that it tells of.
        "import time\nfor n in range(15): print('step', n, flush=True); time.sleep(0.2)\n",
        # Or in silence, computing.
        "import time\nuntil_s = time.process_time() + 3\nwhile time.process_time() < until_s: pass\n",
    ],
    ids=["its log grows", "it computes"],
)
def test_a_slow_server_is_waited_for_while_it_gets_on(tmp_path: Path, gets_on: str) -> None:
    running = launch.start(server(tmp_path, gets_on + READY), threading.Event())
    assert running.server.process() is not None
    running.stop()
    assert running.server.process() is None


def test_a_server_that_hangs_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import signal; print('opening the gates', flush=True); signal.pause()"
    with pytest.raises(ServerStalled, match=r"(?s)has done nothing for 1 s.*opening the gates"):
        launch.start(server(tmp_path, code), threading.Event())


def test_a_server_that_is_never_ready_is_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "READY_WITHIN_S", 2.0)
    code = "import time\nwhile True: print('busy', flush=True); time.sleep(0.1)"
    with pytest.raises(ServerStalled, match="was not ready after 2 s"):
        launch.start(server(tmp_path, code), threading.Event())


def test_a_server_that_ends_is_given_up_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"(?s)ended with status 3.*no room"):
        launch.start(
            server(tmp_path, "import sys; print('no room', flush=True); input; sys.exit(3)"), threading.Event()
        )

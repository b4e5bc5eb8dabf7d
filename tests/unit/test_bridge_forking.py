"""A bridge's client and fork(): the child is told at once, and the parent's files, locks and numbers stay its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from schemas import GoldGained
from streams.bridge.client import BridgeClient
from streams.bridge.client.dead_letters import entries
from tests.sdk import nobody_listens
from tests.waiting import WITHIN_S

# Each in a process of its own, since a child of the test's would go on with the tests.
BEGIN = """
import os, sys, threading, time
from pathlib import Path
from schemas import GoldGained
from streams.bridge.client import BridgeClient, FileInUse, Forked
url, folder = sys.argv[1], Path(sys.argv[2])
client = BridgeClient(url, dead_letters=folder / "dlq.log")
def gold(client, amount):
    return client.put(GoldGained(amount=amount), player_id="astrid")
assert gold(client, 1) == 1
"""

ASKS_EVERYTHING = (
    BEGIN
    + """
client._queue.changed.acquire()  # as another thread of the parent's may at that moment
child = os.fork()
if not child:
    for ask in (lambda: gold(client, 2), lambda: client.ask("dialogue", {}, player_id="a"), client.flush,
                lambda: client.act(print), lambda: client.counters):
        try:
            ask()
        except Forked as error:
            assert "BridgeClient in this process" in str(error)
        else:
            raise AssertionError("the child is not told")
    assert client.close() == 0
    try:
        BridgeClient(url, dead_letters=folder / "dlq.log")
    except FileInUse:
        pass
    own = BridgeClient(url, dead_letters=folder / "child.log")
    assert own.client != client.client
    assert gold(own, 7) == 1
    own.close(0.0)
    sys.exit(0)  # with what is registered for the end
client._queue.changed.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert gold(client, 2) == 2
assert client.close(0.0) == 2
"""
)

LEAVES_A_CHILD = (
    BEGIN
    + """
if os.fork():
    os.kill(os.getpid(), 9)
print("orphaned", flush=True)
sys.stdin.read()
"""
)

ASKS_FROM_BOTH = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from streams.bridge.client.service import Service

class Empty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        connections.add(self.client_address)
        said = json.dumps({"actions": [], "next": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_):
        pass

connections = set()
server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
threading.Thread(target=server.serve_forever, daemon=True).start()
service = Service(f"http://127.0.0.1:{server.server_port}")
service.pending([])
service.pending([])
assert len(connections) == 1
if not os.fork():
    service.pending([])
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
service.pending([])
assert len(connections) == 2
"""


def run(script: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, f"http://{nobody_listens()}", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def amounts(path: Path) -> list[tuple[int, int]]:
    return [(one.sequence, one.event.gold_gained.amount) for _, one in entries(path) if one is not None]


def test_a_child_is_told_at_once_and_its_end_takes_nothing_of_its_parents(tmp_path: Path) -> None:
    said, _ = (process := run(ASKS_EVERYTHING, tmp_path)).communicate(timeout=WITHIN_S)
    assert process.returncode == 0, said
    assert amounts(tmp_path / "dlq.log") == [(1, 1), (2, 2)]
    assert amounts(tmp_path / "child.log") == [(1, 7)]


def test_the_next_life_begins_while_a_child_of_the_last_still_lives(tmp_path: Path) -> None:
    orphan = run(LEAVES_A_CHILD, tmp_path)
    assert orphan.stdout is not None
    assert orphan.stdout.readline() == "orphaned\n"
    try:
        orphan.wait(WITHIN_S)
        # The child was forked from it and has its standard streams, so it lives until they end.
        client = BridgeClient(f"http://{nobody_listens()}", dead_letters=tmp_path / "dlq.log")
        assert client.put(GoldGained(amount=2), player_id="astrid") == 2
        assert client.close(0.0) == 2
    finally:
        orphan.communicate(timeout=WITHIN_S)
    assert amounts(tmp_path / "dlq.log") == [(1, 1), (2, 2)]


def test_parent_and_child_ask_over_connections_of_their_own(tmp_path: Path) -> None:
    said, _ = (process := run(ASKS_FROM_BOTH, tmp_path)).communicate(timeout=WITHIN_S)
    assert process.returncode == 0, said

"""Free ports on the loopback interface, the same ones as last time where they still are free."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Set as AbstractSet
from pathlib import Path

from streams.files import write_atomically

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to connections (from 32768 on Linux): while a server is down, none of those can take
# the port that it comes back to.
FIRST, BEYOND = 20_000, 32_000


def choose(path: Path, names: tuple[str, ...], *, afresh: bool = False) -> dict[str, int]:
    """A free port for each name, remembered in the file so that a restart keeps its addresses.

    Nothing reserves a free port: a server that loses the race for one is started again with `afresh`.
    """
    remembered: dict[str, int] = {}
    if path.exists() and not afresh:
        remembered = json.loads(path.read_text())
    ports: dict[str, int] = {}
    for name in names:
        kept = remembered.get(name)
        ports[name] = kept if kept is not None and is_free(kept) else any_free(set(ports.values()))
    write_atomically(path, json.dumps(ports))
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; connections that are only closing do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int, timeout_s: float) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def any_free(taken: AbstractSet[int] = frozenset()) -> int:
    """A port that is free now and none of those taken."""
    while True:
        # Not the seeded kind: processes with the same seed would all choose the same.
        port = random.SystemRandom().randrange(FIRST, BEYOND)
        if port not in taken and is_free(port):
            return port

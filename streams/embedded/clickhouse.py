"""ClickHouse: its engine (chDB) in one process, behind ClickHouse's own HTTP interface."""

from __future__ import annotations

import importlib.util
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from streams.embedded.errors import MissingPart
from streams.embedded.launch import Launch, Progress
from streams.embedded.ports import LOOPBACK

NAME = "clickhouse"
PORTS = ("clickhouse",)
MEND = "pip install 'norn[embedded]'"
PROBE_TIMEOUT_S = 2.0
#: The server is a module of this very package, wherever that was imported from.
SOURCES = Path(__file__).parents[2]


def prepare(home: Path, ports: dict[str, int], progress: Progress) -> Launch:
    """Say how to run the server; raises MissingPart when the engine is not installed."""
    progress(NAME, "resolving", None, None)
    if importlib.util.find_spec("chdb") is None:
        raise MissingPart(f"ClickHouse's engine is not installed: {MEND}")
    folder = home / NAME
    folder.mkdir(exist_ok=True)
    progress(NAME, "starting", None, None)
    port = ports["clickhouse"]
    url = f"http://{LOOPBACK}:{port}"
    server = [sys.executable, "-m", "streams.embedded.clickhouse_http"]
    return Launch(
        name=NAME,
        url=url,
        command=[*server, "--data", str(folder / "data"), "--port", str(port)],
        log=home / "logs" / "clickhouse.log",
        folder=folder,
        healthy=lambda: healthy(url),
        environment={"PYTHONPATH": os.pathsep.join([str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])},
        ports=(port,),
    )


def healthy(url: str) -> bool:
    """Whether the server at the URL answers its ping."""
    # A proxy meant for the world outside is never asked for a server of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/ping", timeout=PROBE_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

"""A worker for benchmarks: `python -m benchmarks.worker fold --group NAME [--only players] [--web-port N]`."""

from __future__ import annotations

import argparse
import signal

from benchmarks.filling import TOPIC
from projections import PROJECTIONS
from streams.addresses import Servers
from streams.app import create_app
from streams.config import Settings
from streams.crew import MEASURE_ANEW
from streams.roles import fold_role, history_role
from streams.worker import run

TOPICS = (TOPIC,)


def main() -> None:
    """Run one role over the players' topic until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["fold", "history"])
    parser.add_argument("--group", required=True)
    parser.add_argument("--only", help="fold this projection alone")
    parser.add_argument("--web-port", type=int)
    chosen = parser.parse_args()
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )
    projections = [one for one in PROJECTIONS if chosen.only in (None, one.name)]
    role = fold_role(projections, TOPICS) if chosen.role == "fold" else history_role(TOPICS)
    app = create_app(settings, servers, chosen.role, role, group=chosen.group, web_port=chosen.web_port)
    # Told that the warm-up is over, it measures latencies from there.
    signal.signal(MEASURE_ANEW, lambda *_: app.shell.metrics.latencies.clear())
    run(app, "info")


if __name__ == "__main__":
    main()

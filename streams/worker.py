"""Running one worker: a process with one role."""

from __future__ import annotations

from collections.abc import Callable

from faust.worker import Worker

from streams.admin import BrokerAway, check_topics
from streams.app import NornApp
from streams.reaching import reaching


def await_topics(bootstrap: str, say: Callable[[str], None]) -> None:
    """Wait until a broker answers, told of in a line, and look whether its topics are as Norn needs them.

    Raises TopicsDiffer, with the command that mends them, and ServerAway when the broker refuses to tell.
    """
    waits = False
    while True:
        try:
            with reaching("Kafka", bootstrap):
                check_topics(bootstrap)
        except BrokerAway as away:
            if not waits:
                say(f"waits for Kafka at {bootstrap}: {away}")
                waits = True
            continue
        if waits:
            say("Kafka is back")
        return


def run(app: NornApp, log_level: str) -> None:
    """Run the app in this process until it is told to stop; leaves the process with its exit status."""
    worker = Worker(app, quiet=True, loglevel=log_level, redirect_stdouts=False, override_logging=True)
    # It draws with escape codes, which have no place in a log.
    worker.spinner = None
    worker.execute_from_commandline()

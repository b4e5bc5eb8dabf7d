"""Running one worker: a process with one role, which ends when it is told to, whatever is away."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from faust.worker import Worker

from streams.admin import BrokerAway, check_topics
from streams.app import NornApp
from streams.embedded import kafka
from streams.quiet_log import QuietLog
from streams.reaching import reaching

log = logging.getLogger(__name__)

#: How long a worker may take to store what it has in hand, leave its group and close. With all servers there it takes
#: two or three seconds; a client whose broker is away would wait for it for ever.
GRACE_S = 10.0
#: Then what its producer holds goes to disk, which takes milliseconds.
HAND_OVER_S = 2.0


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
    """Run the app in this process until it is told to stop; leaves the process with its exit status.

    That it has not stopped `GRACE_S` after it began to is told in a line, and the process left as it is: positions
    move only with what was stored, so whatever takes its place does the rest.
    """
    worker = NornWorker(app, quiet=True, loglevel=log_level, redirect_stdouts=False, override_logging=True)
    # It draws with escape codes, which have no place in a log.
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit:
        # What was still starting when the signal came may fail for being stopped, which is no failure.
        if worker._signal_stop_future is not None and app.crash_reason is None:
            raise SystemExit(0) from None
        raise


class NornWorker(Worker):
    """Faust's worker with a quiet log and an end to its stopping."""

    app: NornApp
    _leaving: threading.Timer | None = None

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Have the log tell once of what its libraries say without end."""
        super().on_setup_root_logger(logger, level)
        servers = self.app.shell.servers.kafka.split(",")
        quiet = QuietLog(lambda: any(kafka.healthy(server) for server in servers))
        for handler in logging.getLogger().handlers:
            handler.addFilter(quiet)

    async def stop(self) -> None:
        """Stop within the grace, told to or because of a crash."""
        if self._leaving is None:
            self._leaving = threading.Timer(GRACE_S, leave, [self.app])
            self._leaving.daemon = True
            self._leaving.start()
            # A client's thread that is cut short while its broker is away would print where it was.
            threading.excepthook = lambda raised: log.info("%s ended with %r", raised.thread, raised.exc_value)
        await super().stop()


def leave(app: NornApp) -> None:
    """Leave the process at once, with a line that says what for; what its producer holds is put on disk first."""
    kept: list[Any] = []
    publisher = app.shell.publisher
    if publisher is not None:
        closing = threading.Thread(target=lambda: kept.append(publisher.close(0.0)), daemon=True)
        closing.start()
        closing.join(HAND_OVER_S)
    on_disk = f"; {kept[0]:,} events wait on disk for the next producer" if kept and kept[0] else ""
    waits = f", waiting for {', '.join(app.shell.waiting.reasons)}" if app.shell.waiting.reasons else ""
    log.error(
        "%s had not stopped after %g s%s: it leaves its group and its unfinished work as they are. Nothing is lost:"
        " positions move only with what was stored%s",
        app.shell.name,
        GRACE_S,
        waits,
        on_disk,
    )
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(1 if app.crash_reason is not None else 0)

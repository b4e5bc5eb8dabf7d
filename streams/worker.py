"""Running one worker: a process with one role."""

from __future__ import annotations

from faust.worker import Worker

from streams.app import NornApp


def run(app: NornApp, log_level: str) -> None:
    """Run the app in this process until it is told to stop; leaves the process with its exit status."""
    worker = Worker(app, quiet=True, loglevel=log_level, redirect_stdouts=False, override_logging=True)
    # It draws with escape codes, which have no place in a log.
    worker.spinner = None
    worker.execute_from_commandline()

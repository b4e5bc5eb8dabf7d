"""Running one worker: a process with one role."""

from __future__ import annotations

from faust.worker import Worker

from streams.app import NornApp


def run(app: NornApp, log_level: str) -> None:
    """Run the app in this process until it is told to stop; leaves the process with its exit status."""
    Worker(app, loglevel=log_level, redirect_stdouts=False, override_logging=True).execute_from_commandline()

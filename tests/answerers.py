"""Workers of the real roles and agents as processes, in groups of their own, with rules and no model."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass

from schemas import TIERS
from streams.app import create_app
from streams.config import Settings
from streams.embedded import Servers
from streams.roles import ROLES
from streams.worker import run
from tests.workers import Workers


@dataclass
class Answerers(Workers):
    """Starts workers of any role; the group's name begins that of each role's group."""

    def work(self, role: str) -> subprocess.Popen[bytes]:
        """One more worker of a role."""
        command = [sys.executable, "-m", "tests.answerers", role, "--group", f"{self.group}-{role}"]
        return self.spawn(command, {f"NORN_{tier.upper()}": "rules" for tier in TIERS})


def main() -> None:
    """Run one worker until it is ended: `python -m tests.answerers decide --group G`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--group", required=True)
    chosen = parser.parse_args()
    settings = Settings()
    servers = Servers(
        kafka=settings.kafka or "", postgres=settings.postgres or "", clickhouse=settings.clickhouse or ""
    )
    run(create_app(settings, servers, chosen.role, ROLES[chosen.role], group=chosen.group), "info")


if __name__ == "__main__":
    main()

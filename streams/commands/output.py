"""What commands have in common: exit codes, where they write, and where the servers are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from schemas import PermanentError

if TYPE_CHECKING:
    from streams.addresses import Servers
    from streams.config import Settings

#: Exit codes; `norn --help` explains them.
DONE, DOES_NOT_HOLD, FAILED, INTERRUPTED = 0, 1, 3, 130

#: For people who asked a question: standard output.
answers = Console()
#: For everything that is not the answer.
errors = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]


class WrongSettings(PermanentError):
    """An environment variable that cannot be used."""

    reason = "wrong_settings"


def emit(answer: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output."""
    typer.echo(json.dumps(answer))


def settings() -> Settings:
    """The settings of the environment. Raises WrongSettings, which names the variable."""
    from streams.config import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"NORN_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise WrongSettings(f"{wrong}. Correct the environment variable, or unset it for the default.") from None


def locate(found: Settings) -> Servers:
    """Where the servers are: by URL, else the set that runs on the home. Raises ServersNotRunning."""
    from streams import embedded

    return embedded.locate(found.home, kafka=found.kafka, postgres=found.postgres, clickhouse=found.clickhouse)

"""What commands have in common: exit codes, where they write, and where the servers are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from schemas import PermanentError
from streams.harmless import harmless

if TYPE_CHECKING:
    from streams.addresses import Servers
    from streams.config import Settings

#: Exit codes; `norn --help` explains them.
DONE, DOES_NOT_HOLD, FAILED, INTERRUPTED = 0, 1, 3, 130


class Screen(Console):
    """A console that shows nothing a terminal would obey, whatever it is given to print.

    Foreign text goes through `foreign` all the same, which rich then gives as much room as it takes.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of something to print, their text made harmless; rich's own control codes are no text."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment("\n".join(map(harmless, segment.text.split("\n"))), segment.style)


#: For people who asked a question: standard output.
answers = Screen()
#: For everything that is not the answer.
errors = Screen(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]


class WrongSettings(PermanentError):
    """An environment variable that cannot be used."""

    reason = "wrong_settings"


def foreign(text: str) -> str:
    """Text that anybody may have written, for a console: it steers no terminal, and none of it is markup."""
    return escape(harmless(text))


def emit(answer: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of standard output."""
    # All that a terminal obeys is written as an escape in JSON's ASCII, but for DEL.
    typer.echo(json.dumps(answer).replace("\x7f", "\\u007f"))


def settings() -> Settings:
    """The settings of the environment. Raises WrongSettings, which names the variable."""
    from streams.config import Settings

    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(filter(None, map(_told, error.errors())))
        raise WrongSettings(f"{wrong}. Correct the environment variable, or unset it for the default.") from None


def _told(error: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, [_variable(error["loc"]), error["msg"].removeprefix("Value error, ")]))


def _variable(place: Sequence[int | str]) -> str:
    """The variable that a wrong setting stands in, and where in it; "" where it is none of those that are known."""
    if not place:
        return ""
    return f"NORN_{place[0]}".upper() + "".join(f"[{step}]" for step in place[1:])


def locate(found: Settings) -> Servers:
    """Where the servers are: by URL, else the set that runs on the home. Raises ServersNotRunning."""
    from streams import embedded

    return embedded.locate(found.home, kafka=found.kafka, postgres=found.postgres, clickhouse=found.clickhouse)

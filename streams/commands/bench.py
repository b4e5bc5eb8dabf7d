"""norn bench."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from schemas import PermanentError
from streams.commands.output import Json, answers, emit, errors


class NoBenchmarks(PermanentError):
    """The benchmarks are not part of this installation."""

    reason = "no_benchmarks"


def bench(
    name: Annotated[str, typer.Argument(help="Which one; without a name they are listed.")] = "",
    as_json: Json = False,
) -> None:
    """Measure Norn on this machine, beside its peers where they are installed, on servers of its own.

    Takes minutes, and the whole machine: stop what else is running on it.
    """
    try:
        from benchmarks.ground import ground
        from benchmarks.questions import BENCHMARKS
    except ModuleNotFoundError as error:
        if error.name != "benchmarks":
            raise
        raise NoBenchmarks(
            "the benchmarks are not installed with this copy of Norn: clone its repository and run"
            " `pip install -e .` there"
        ) from None
    if not name:
        answers.print("\n".join(BENCHMARKS), highlight=False)
        return
    if name not in BENCHMARKS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(BENCHMARKS)}", param_hint="NAME")

    def say(what: str) -> None:
        errors.print(what, highlight=False)

    with ground(say) as own:
        found: dict[str, Any] = BENCHMARKS[name](own)
    if as_json:
        emit(found)
    else:
        answers.print_json(data=found)

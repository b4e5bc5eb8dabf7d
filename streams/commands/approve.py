"""norn approve."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from streams.commands.output import Json, answers, emit, foreign, locate, settings


def approve(
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The decision.", show_default=False)],
    by: Annotated[str, typer.Option(help="Who answers; it is kept with the decision.", show_default=False)],
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no: what was proposed has no effect.")] = False,
    comment: Annotated[str, typer.Option(help="Why; it is kept with the decision.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Say yes or no to a decision that waits for a person.

    `norn decisions` lists them, and until when each can be answered: a day after it was proposed. Until then nothing
    happens. The answer is an event on the log, and the first one counts.
    """
    from schemas import ApprovalGiven
    from streams.decisions import approve as answered

    given = ApprovalGiven(decision_id=decision_id, approver=by, approved=not refuse, comment=comment)
    waiting = asyncio.run(answered(locate(settings()), given))
    if as_json:
        emit({"decision_id": decision_id, "approved": not refuse, "by": by, "comment": comment, "agent": waiting.agent})
    else:
        said = "refused" if refuse else "approved"
        answers.print(f"{said}: {foreign(f'{waiting.agent} {waiting.action} about {waiting.subject}')}")

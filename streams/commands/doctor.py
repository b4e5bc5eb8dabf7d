"""norn doctor."""

from __future__ import annotations

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, foreign, settings


def doctor(as_json: Json = False) -> None:
    """Look for what is missing, and say which command mends it. Exits with 1 when something is missing."""
    from streams.doctor import examine

    findings = examine(settings())
    if as_json:
        rows = [{"name": f.name, "ok": f.ok, "detail": f.detail, "mend": f.mend} for f in findings]
        emit({"ok": all(finding.ok for finding in findings), "findings": rows})
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for _ in range(4):
            table.add_column(overflow="fold")
        for finding in findings:
            mend = f"mend it: [bold]{foreign(finding.mend)}" if not finding.ok and finding.mend else ""
            table.add_row("[green]✓" if finding.ok else "[red]✗", finding.name, foreign(finding.detail), mend)
        answers.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(DOES_NOT_HOLD)

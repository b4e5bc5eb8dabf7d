"""norn chaos."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign

if TYPE_CHECKING:
    from streams.chaos.infer import Outcome


def chaos(
    name: Annotated[
        str,
        typer.Argument(
            help="What to try: infer, the decisions; kill, workers and servers; log, a hostile log.", show_default=False
        ),
    ],
    requests: Annotated[int, typer.Option(help="How many decisions are asked for.", min=1)] = 10_000,
    seconds: Annotated[float, typer.Option(help="Over how many seconds.", min=1)] = 80.0,
    kills: Annotated[
        int | None,
        typer.Option(help="How often an infer worker is killed (7); of kill, how often anything is (9).", min=0),
    ] = None,
    decide_kills: Annotated[int, typer.Option(help="How often the decide worker is killed.", min=0)] = 2,
    events: Annotated[int, typer.Option(help="How many events kill publishes.", min=1)] = 200_000,
    records: Annotated[int, typer.Option(help="How many records a hostile log holds.", min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed asks the same and kills at the same times.", min=0)] = 7,
    as_json: Json = False,
) -> None:
    """Try what Norn must withstand, on servers of its own in a temporary folder.

    infer: workers are killed and a provider of models fails while decisions are asked for; the log is read at the end.
    Exits with 1 when a request was lost, took effect twice, or stayed without an answer.

    kill: workers, Postgres, Kafka and ClickHouse are killed in turn while events are published. Exits with 1 when a
    store lacks an event that was acknowledged or has one twice, or when the counts do not agree.

    log: random and hostile records are written to every topic while all workers run. Exits with 1 when a worker stops,
    or a record is neither folded nor a repeat nor a dead letter.
    """
    if name == "log":
        _log(records, seed, as_json)
        return
    if name == "kill":
        _kill(events, seconds, 9 if kills is None else kills, seed, as_json)
        return
    if name != "infer":
        raise typer.BadParameter(f"{name!r} is none of infer, kill and log", param_hint="NAME")
    from streams.chaos.infer import InferChaos, Plan

    plan = Plan(requests, seconds, 7 if kills is None else kills, decide_kills, seed)
    outcome = InferChaos(plan, say=lambda what: errors.print(what, highlight=False, markup=False)).run()
    if as_json:
        emit(as_object(outcome))
    else:
        _show(outcome)
    if not outcome.reckoning.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _log(records: int, seed: int, as_json: bool) -> None:
    from streams.chaos.hostile_log import run

    found = run(records, seed, lambda what: errors.print(what, highlight=False, markup=False))
    if as_json:
        emit(asdict(found) | {"holds": found.holds})
    else:
        answers.print_json(data=asdict(found))
    if not found.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _kill(events: int, seconds: float, kills: int, seed: int, as_json: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streams.chaos.kill import KillChaos, Plan

    columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("events", total=events)
        outcome = KillChaos(
            Plan(events, seconds, kills, seed),
            say=lambda what: errors.print(what, highlight=False, markup=False),
            show=lambda published: bar.update(task, completed=published),
        ).run()
    if as_json:
        emit(outcome.as_object())
    else:
        answers.print_json(data=outcome.as_object())
    if not outcome.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def as_object(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        **outcome.reckoning.as_object(),
        "kills": outcome.kills,
        "died": outcome.died,
        "provider": outcome.provider,
        "engine_errors": engine_errors(outcome),
        "settled": outcome.settled,
        "took_s": outcome.took_s,
    }


def engine_errors(outcome: Outcome) -> int:
    """How many calls of a model the provider failed."""
    fine = {"requests", "answered", "aborted"}
    return sum(count for kind, count in outcome.provider.items() if kind not in fine)


def _show(outcome: Outcome) -> None:
    found = outcome.reckoning
    table = Table("", "", box=None, pad_edge=False, show_header=False)
    for label, value in (
        ("requests on the log", f"{found.requests:,}, of which {found.published:,} were asked by this run"),
        ("lost", f"{found.lost:,}"),
        ("took effect twice", f"{found.duplicate_effective:,}"),
        ("unanswered", f"{found.unanswered:,}"),
        ("answered late", f"{found.late:,}"),
        ("took effect", f"{found.effective:,}, {found.expired:,} of them after the deadline by rules"),
        ("wait for a person", f"{found.waiting:,}, of {found.reviewed:,} that were put to one"),
        ("impossible to answer", f"{found.rejected_for_good:,}"),
        ("answered again after a kill", f"{found.answered_again:,}"),
        ("by route", _counts(found.by_route)),
        ("fallbacks", _counts(found.fallbacks)),
        ("calls of a model", f"{outcome.provider.get('requests', 0):,}, {engine_errors(outcome):,} failed"),
        ("killed", _counts(outcome.kills)),
        ("died by themselves", _counts(outcome.died) or "none"),
    ):
        table.add_row(label, foreign(value))
    answers.print(table, highlight=False)
    if found.p50_ms is not None and found.p99_ms is not None:
        answers.print(
            f"from request to answer {found.p50_ms:,.0f} / {found.p99_ms:,.0f} ms (p50 / p99)", highlight=False
        )
    if found.holds:
        answers.print("[bold green]it holds[/]: nothing was lost, nothing took effect twice, everything was answered")
    for what, names in found.examples.items():
        answers.print(f"[bold red]✗[/] {what}: {foreign(', '.join(names))}", highlight=False)


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())

"""norn world."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.commands.demo import NoGame, alone
from streams.commands.interrupting import until_interrupted
from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, foreign, settings
from streams.commands.progress import ServerProgress

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.world.day import Outcome, Plan
    from streams.world.tally import Tally

# Where there is no terminal a line now and then is enough.
LINE_EVERY_S = 10.0


def world(
    days: Annotated[float, typer.Option(help="How many days of the world to live.", min=0.05, max=60)] = 1.0,
    seconds_per_day: Annotated[float, typer.Option(help="Real seconds that a day takes.", min=20)] = 240.0,
    heroes: Annotated[int, typer.Option(help="How many heroes play NetHack meanwhile.", min=1, max=1000)] = 8,
    pace: Annotated[float, typer.Option(help="Keys a second of each hero.", min=0.1)] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed has the same heroes.", min=0)] = 7,
    sample: Annotated[int, typer.Option(help="How many reused answers to ask for again in full.", min=0)] = 60,
    as_json: Json = False,
) -> None:
    """Live days of the world fast: heroes play, schedules come due, every agent decides; then tally what it came to.

    Starts the servers that no URL is given for, and a worker of each role. Ctrl-C ends the days early and tallies what
    there is. Exits with 1 when a decision went unanswered or took effect twice, or the world stood still.
    """
    if importlib.util.find_spec("nle") is None:
        raise NoGame("NetHack is not installed: pip install 'norn[demo]'")
    from streams.world.day import Plan

    found = settings()
    with alone(found.home):
        outcome = _run(Plan(days, seconds_per_day, heroes, pace, seed, sample), found)
    if as_json:
        emit(as_object(outcome))
    else:
        _show(outcome)
    if not outcome.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _run(plan: Plan, found: Settings) -> Outcome:
    from streams.embedded import start
    from streams.world.day import Day

    with ServerProgress(errors) as progress:
        with start(
            found.home, kafka=found.kafka, postgres=found.postgres, clickhouse=found.clickhouse, progress=progress
        ) as servers:
            progress.close()
            with _showing(errors) as (say, told):
                day = Day(plan, found, servers, say=say, told=told)
                return asyncio.run(until_interrupted(day.run(), day.stop))


@contextmanager
def _showing(console: Console) -> Iterator[tuple[Callable[[str], None], Callable[[float, str], None]]]:
    """How the run speaks: a bar on a terminal, else a line now and then."""

    def say(what: str) -> None:
        console.print(what, highlight=False, soft_wrap=True, markup=False)

    if console.is_terminal:
        columns = TextColumn("{task.percentage:>3.0f} %"), BarColumn(), TextColumn("{task.fields[scene]}")
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
            bar = bars.add_task("", total=1.0, scene="")
            yield say, lambda share, scene: bars.update(bar, completed=share, scene=scene)
        return
    told_s = -LINE_EVERY_S

    def told(share: float, scene: str) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= LINE_EVERY_S:
            told_s = time.monotonic()
            say(f"{share:4.0%}  {scene}")

    yield say, told


def as_object(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints."""
    tally, agreed = outcome.tally, outcome.agreement
    return {
        "holds": outcome.holds,
        "days": outcome.plan.days,
        "agents_run": tally.agents_run,
        "idle_agents": list(outcome.idle_agents),
        "decisions": tally.decisions,
        "decisions_by_agent": dict(tally.by_agent),
        "tier_shares": dict(tally.tier_shares),
        "tier_shares_by_agent": {agent: dict(shares) for agent, shares in tally.tier_shares_by_agent.items()},
        "llm_calls": tally.llm_calls,
        "llm_calls_saved": round(tally.llm_calls_saved, 4),
        "fallbacks": tally.fallbacks,
        "fallbacks_by_reason": dict(tally.fallbacks_by_reason),
        "batch_calls": len(tally.batch_sizes),
        "batch_size_mean": None if tally.batch_size_mean is None else round(tally.batch_size_mean, 2),
        "batches_of_enough": tally.batches_of_enough,
        "agreement": None if agreed is None or agreed.share is None else round(agreed.share, 4),
        "agreement_sampled": agreed.sampled if agreed else 0,
        "disagreements": list(agreed.different) if agreed else [],
        "cost_by_agent": dict(tally.cost_by_agent),
        "cost_usd_micros": sum(tally.cost_by_agent.values()),
        "stalled": len(outcome.standstills),
        "standstills": list(outcome.standstills),
        "awaiting_approval": dict(tally.waiting_by_agent),
        "unanswered": tally.unanswered,
        "duplicate_effective": tally.duplicate_effective,
        "answer_p50_ms": tally.answer_p50_ms,
        "answer_p99_ms": tally.answer_p99_ms,
        "announced": outcome.announced,
        "model": outcome.model,
        "heroes": outcome.plan.heroes,
        "deaths": outcome.game.get("deaths"),
        "lived_s": round(outcome.lived_s, 1),
        "memory_mb": outcome.memory_mb,
        "restarts": outcome.restarts,
    }


def _show(outcome: Outcome) -> None:
    tally = outcome.tally
    table = Table("agent", "decisions", "rule", "cache", "batch", "full", "cost, micro-dollars", title="Who decided")
    for agent, decisions in tally.by_agent.items():
        shares = tally.tier_shares_by_agent.get(agent, {})
        routes = [f"{shares.get(route, 0):.0%}" for route in ("rule", "cache", "batch", "full")]
        table.add_row(foreign(agent), f"{decisions:,}", *routes, f"{tally.cost_by_agent.get(agent, 0):,}")
    answers.print(table)
    agreed = outcome.agreement
    said = "nothing was reused" if agreed is None or agreed.share is None else f"{agreed.share:.1%} of {agreed.sampled}"
    fallen = "".join(f", {count:,} {reason}" for reason, count in tally.fallbacks_by_reason.items())
    for line in (
        f"{tally.decisions:,} decisions by {tally.agents_run} agents; {tally.llm_calls:,} calls of {outcome.model}"
        f" ({tally.llm_calls_saved:.1%} saved); reused answers that a full one agrees with: {said}; unanswered"
        f" {tally.unanswered}, twice in effect {tally.duplicate_effective}, standstills {len(outcome.standstills)}",
        f"{_batches(tally)}; fallbacks, of which none is counted as saved: {tally.fallbacks:,}{fallen}",
    ):
        answers.print(line, highlight=False, soft_wrap=True, markup=False)
    waiting = (f"{count} of {agent} wait for a person's yes" for agent, count in tally.waiting_by_agent.items())
    for line in (*waiting, *outcome.standstills, *(f"no decision of {agent}" for agent in outcome.idle_agents)):
        answers.print(line, highlight=False, style="yellow", markup=False)


def _batches(tally: Tally) -> str:
    from inference.batching import ENOUGH

    if tally.batch_size_mean is None:
        return "no call for requests that are alike"
    return (
        f"{len(tally.batch_sizes):,} calls for requests that are alike, {tally.batch_size_mean:.2f} of them a call and"
        f" {ENOUGH} or more in {tally.batches_of_enough:,}"
    )

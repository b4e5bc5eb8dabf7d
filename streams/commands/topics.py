"""norn topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, locate, settings

if TYPE_CHECKING:
    from schemas import Topic
    from streams.topic_settings import Difference

_Sizes = Mapping[tuple[str, int], tuple[int, int]]


def topics(
    create: Annotated[bool, typer.Option("--create", help="Make the topics that the broker lacks.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Give settings that a promise of Norn rests on the values that they need.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the topics of the log beside what the broker has: partitions, retention, events and facts.

    Exits with 1 when the broker lacks one, has it with another number of partitions, or with a setting that breaks a
    promise: of when events happened, of what is kept, of what outlives a broker.
    """
    from schemas import TOPICS
    from streams.admin import log_sizes, mend_topics, topic_differences
    from streams.preparing import make_topics

    servers = locate(settings())
    made = make_topics(servers.kafka) if create else ()
    found = topic_differences(servers.kafka)
    mended = found if fix else []
    if mended:
        mend_topics(servers.kafka, mended)
        found = topic_differences(servers.kafka)
    sizes = log_sizes(servers.kafka)
    rows = [_row(topic, sizes, found) for topic in TOPICS.values()]
    if as_json:
        emit({"created": list(made), "mended": [asdict(one) for one in mended], "topics": rows})
    else:
        _show(rows, made, mended)
    if _tell_wrong(rows, found):
        raise typer.Exit(DOES_NOT_HOLD)


def _tell_wrong(rows: list[dict[str, Any]], found: Sequence[Difference]) -> bool:
    """Say what is wrong, with the command that mends it; whether anything is."""
    from streams.admin import MAKE, MEND

    missing = [row["topic"] for row in rows if row["partitions_on_broker"] == 0]
    divided = [row["topic"] for row in rows if row["partitions_on_broker"] not in (0, row["partitions"])]
    lines = [f"the broker lacks {', '.join(missing)}: `{MAKE}` makes them."] if missing else []
    lines += [
        f"{topic} has another number of partitions, which nothing mends: use another broker." for topic in divided
    ]
    lines += [f"{one}." for one in found]
    lines += [f"`{MEND}` mends the settings; records in the log keep their times."] if found else []
    for line in lines:
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
    return bool(lines)


def _row(topic: Topic, sizes: _Sizes, found: Sequence[Difference]) -> dict[str, Any]:
    held = [size for (name, _), size in sizes.items() if name == topic.name]
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "partitions_on_broker": len(held),
        "events": sum(end - begin for begin, end in held),
        "retention_ms": topic.retention_ms,
        "differences": [asdict(one) for one in found if one.topic == topic.name],
        "facts": list(topic.facts),
    }


def _show(rows: list[dict[str, Any]], made: Sequence[str], mended: Sequence[Difference]) -> None:
    table = Table("topic", "partitions", "events", "kept", "facts", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        held, wanted = row["partitions_on_broker"], row["partitions"]
        partitions = str(held) if held == wanted else f"[red]{held} of {wanted}"
        kept = "for ever" if row["retention_ms"] < 0 else f"{row['retention_ms'] // 86_400_000:,} days"
        table.add_row(row["topic"], partitions, f"{row['events']:,}", kept, ", ".join(row["facts"]))
    answers.print(table)
    if made:
        answers.print(f"made: {', '.join(made)}")
    for one in mended:
        answers.print(f"mended: {one.topic} has {one.setting}={one.wanted} now", highlight=False, soft_wrap=True)

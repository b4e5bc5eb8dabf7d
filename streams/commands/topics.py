"""norn topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from streams.commands.output import DOES_NOT_HOLD, Json, answers, emit, errors, locate, settings

if TYPE_CHECKING:
    from schemas import Topic

_Sizes = Mapping[tuple[str, int], tuple[int, int]]


def topics(
    create: Annotated[bool, typer.Option("--create", help="Make the topics that the broker lacks.")] = False,
    as_json: Json = False,
) -> None:
    """List the topics of the log beside what the broker has: partitions, retention, events and facts.

    Exits with 1 when the broker lacks one or has it with another number of partitions.
    """
    from schemas import TOPICS
    from streams.admin import log_sizes
    from streams.preparing import make_topics

    servers = locate(settings())
    made = make_topics(servers.kafka) if create else ()
    sizes = log_sizes(servers.kafka)
    rows = [_row(topic, sizes) for topic in TOPICS.values()]
    if as_json:
        emit({"created": list(made), "topics": rows})
    else:
        _show(rows, made)
    wrong = [row["topic"] for row in rows if row["partitions_on_broker"] != row["partitions"]]
    if wrong:
        errors.print(f"not as the table says: {', '.join(wrong)}. `norn topics --create` makes those that are missing.")
        raise typer.Exit(DOES_NOT_HOLD)


def _row(topic: Topic, sizes: _Sizes) -> dict[str, Any]:
    held = [size for (name, _), size in sizes.items() if name == topic.name]
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "partitions_on_broker": len(held),
        "events": sum(end - begin for begin, end in held),
        "retention_ms": topic.retention_ms,
        "facts": list(topic.facts),
    }


def _show(rows: list[dict[str, Any]], made: tuple[str, ...]) -> None:
    table = Table("topic", "partitions", "events", "kept", "facts", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        held, wanted = row["partitions_on_broker"], row["partitions"]
        partitions = str(held) if held == wanted else f"[red]{held} of {wanted}"
        kept = "for ever" if row["retention_ms"] < 0 else f"{row['retention_ms'] // 86_400_000:,} days"
        table.add_row(row["topic"], partitions, f"{row['events']:,}", kept, ", ".join(row["facts"]))
    answers.print(table)
    if made:
        answers.print(f"made: {', '.join(made)}")

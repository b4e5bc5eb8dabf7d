"""The live view: what the workers' statuses say, as a person sees it."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from streams.live import Snapshot, WorkerLine, chronicle, line, render, snapshot, usd

STATUS: dict[str, Any] = {
    "role": "fold",
    "dead_letters": 1,
    "spent_usd_micros": 1_250_000,
    "p50_ms": 12.0,
    "p99_ms": 80.5,
    "groups": [
        {"group": "norn-fold", "events": 900, "events_per_s": 88.0, "lag_s": 0.4, "holes": 0},
        {"group": "norn-history", "events": 700, "events_per_s": 50.0, "lag_s": 3.0, "holes": 0},
    ],
    "partitions": [
        {"group": "norn-fold", "end_offset": 600},
        {"group": "norn-fold", "end_offset": 400},
        {"group": "norn-history", "end_offset": 400},
    ],
    "lists": {
        "leaderboard": [{"rank": 1, "player": "Sif", "score": 1234, "level": 5, "gold": 77}],
        "decisions": [
            {"subject": "Kari", "content": '{"line": "Kari fell."}', "route": "full, smol", "status": "effective"}
        ],
    },
}
WORKERS = [WorkerLine("fold", "ok"), WorkerLine("infer", "waiting", "waits for Kafka", restarts=2)]


def seen(now: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(render(now))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_it_shows_what_the_fold_says() -> None:
    before = Snapshot(elapsed_s=8.0, in_log=800, in_log_per_s=100.0, folded=740, folded_per_s=80.0)
    now = snapshot({"fold": STATUS}, WORKERS, before, 10.0)
    assert (now.in_log, now.folded, now.lag_s, now.p99_ms) == (1000, 900, 0.4, 80.5)
    assert (now.in_log_per_s, now.folded_per_s) == (100.0, 80.0)
    shown = seen(now)
    for what in ("100", "80", "0.4 s", "12 / 80 ms", "$1.250000", "Sif", "1,234", "Kari fell.", "full, smol"):
        assert what in shown, what
    assert "waits for Kafka" in shown
    assert "started again 2 times" in shown


def test_a_rate_follows_a_change_within_seconds() -> None:
    now = Snapshot(elapsed_s=1.0, in_log=1)
    for second in range(2, 14):
        found = {**STATUS, "partitions": [{"group": "norn-fold", "end_offset": second * 50}]}
        now = snapshot({"fold": found}, WORKERS, now, float(second))
    assert 45 < now.in_log_per_s <= 52


def test_without_the_fold_another_worker_speaks_for_the_world_but_not_for_its_latency() -> None:
    now = snapshot({"history": {**STATUS, "role": "history"}}, WORKERS, Snapshot(), 1.0)
    assert now.folded == 900
    assert now.p99_ms is None


def test_while_nobody_answers_it_still_shows_where_things_are() -> None:
    now = snapshot({}, [WorkerLine("fold")], Snapshot(places={"web page": "http://127.0.0.1:6066/"}), 1.0)
    assert "http://127.0.0.1:6066/" in seen(now)
    assert "starting" in seen(now)


def test_a_line_says_the_same_without_a_terminal() -> None:
    now = snapshot({"fold": STATUS}, WORKERS, Snapshot(elapsed_s=8.0, in_log=800), 10.0)
    assert "folded 900" in line(now)
    assert "lag 0.4 s" in line(now)


def test_text_of_players_is_neither_markup_nor_orders_to_the_terminal() -> None:
    rows = [{"rank": 1, "player": "[red]x[/]", "score": 1, "level": 1, "gold": 0}]
    now = Snapshot(leaderboard=rows, decisions=[{"subject": "\x1b[2J", "content": '{"line": "[blink]hi"}'}])
    assert "[blink]hi" in seen(now)
    assert "[red]x[/]" in seen(now)
    assert "\x1b" not in seen(now)


def test_no_view_turns_the_reading_order_or_hides_a_letter() -> None:
    said = json.dumps({"line": "deny\u202eevorppa \u001b[1A"})
    now = Snapshot(
        leaderboard=[{"rank": 1, "player": "Sif\u2066\u200b", "score": 1}],
        decisions=[{"subject": "Zoë \u2028", "content": said, "route": "\x9bfull"}],
        workers=[WorkerLine("fold", "stuck", "refused \x07\u202e")],
    )
    for hidden in "\u202e\u2066\u200b\u2028\x1b\x9b\x07":
        assert hidden not in seen(now)
    assert "deny<U+202E>evorppa" in seen(now)
    assert "Zoë" in seen(now)


def test_a_decision_without_a_line_is_told_by_its_action() -> None:
    assert chronicle({"content": "not json", "action": "chronicle"}) == "chronicle"
    assert chronicle({"content": None, "action": None, "status": "requested"}) == "requested"


def test_money_is_shown_to_the_micro_dollar() -> None:
    assert usd(1) == "$0.000001"

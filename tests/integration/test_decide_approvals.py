"""A decision that a person must agree to: it waits for a day, whatever its deadline, and a no is never overruled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from inference.court import APPROVAL_MS
from projections.postgres import migrate
from schemas import ApprovalGiven, ApprovalRequested, DecisionEffective, DecisionRejected
from tests.judging import DECISIONS, NOW_MS, REQUESTS, Bench, proposal, request
from tests.waiting import eventually_async
from tests.workers import rows

DEADLINE_MS = NOW_MS + 60_000
UNTIL_MS = NOW_MS + APPROVAL_MS


@pytest.fixture
async def bench(postgres: str, fresh_name: Callable[[str], str]) -> AsyncIterator[Bench]:
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    async with Bench(postgres, fresh_name("approvals"), {}).sitting() as made:
        yield made


async def states(postgres: str) -> dict[str, tuple[str, int | None]]:
    found = await rows(postgres, "select decision_id, state::text, due_ms from judgements")
    return {row["decision_id"]: (row["state"], row["due_ms"]) for row in found}


async def stand(postgres: str, expected: dict[str, tuple[str, int | None]]) -> None:
    async def there() -> bool:
        assert await states(postgres) == expected
        return True

    await eventually_async(there)


def effects(bench: Bench) -> dict[str, str]:
    return {fact.decision_id: fact.action for fact in bench.written.facts if isinstance(fact, DecisionEffective)}


async def test_it_waits_past_its_deadline_and_ends_by_a_yes_a_no_or_a_day_of_silence(
    bench: Bench, postgres: str
) -> None:
    names = ("yes", "no", "silence", "late")
    bench.poll(REQUESTS, *(request(DEADLINE_MS, name, agent="warden") for name in names), request(decision_id="sign"))
    bench.poll(DECISIONS, *(proposal(name, agent="warden") for name in names))
    waiting = ("awaiting_approval", UNTIL_MS)
    await stand(postgres, {**dict.fromkeys(names, waiting), "sign": ("open", DEADLINE_MS)})
    put = [fact for fact in bench.written.facts if isinstance(fact, ApprovalRequested)]
    assert {(fact.decision_id, fact.deadline_ms) for fact in put} == {(name, UNTIL_MS) for name in names}

    bench.now_ms = UNTIL_MS - 1
    # A sweep has been since, for the one whose deadline it is has its default.
    await stand(postgres, {**dict.fromkeys(names, waiting), "sign": ("effective", None)})
    assert effects(bench) == {"sign": "ignore"}
    yes, no = (ApprovalGiven(decision_id=name, approver="Ada", approved=name == "yes") for name in ("yes", "no"))
    bench.poll(DECISIONS, yes, no, at_ms=UNTIL_MS - 1)
    ended = ("effective", None)
    await stand(postgres, {"yes": ended, "no": ended, "sign": ended, "silence": waiting, "late": waiting})
    bench.now_ms = UNTIL_MS + 1
    bench.poll(DECISIONS, ApprovalGiven(decision_id="late", approver="Ada", approved=True), at_ms=UNTIL_MS + 1)
    await stand(postgres, dict.fromkeys((*names, "sign"), ended))
    assert effects(bench) == {"sign": "ignore", "yes": "greet", "no": "ignore", "silence": "ignore", "late": "ignore"}
    why = {fact.decision_id: fact.reason for fact in bench.written.facts if isinstance(fact, DecisionRejected)}
    assert {name: reason.partition(":")[0] for name, reason in why.items()} == {
        "no": "refused", "silence": "not_approved", "late": "not_approved",
    }  # fmt: skip

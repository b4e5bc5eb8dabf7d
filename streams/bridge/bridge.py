"""The bridge itself: events of game servers onto the log exactly once, decisions to them, and their answers back.

A batch is taken in one transaction: its new events are numbered, enveloped and kept, byte for byte. Then those bytes
are published, and only when the broker has acknowledged them is the batch. Whoever finds bytes that nobody marked as
published, a retry or the next bridge, publishes the same bytes again, before anything newer of that client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from schemas import TOPICS, ActionCompleted, TemporaryError, topic_of
from schemas.partitions import partition_of
from schemas.stamps import pack, time_ms
from streams.bridge.admission import Admission, Client, Here, Record, admit, decision_id, new_subjects
from streams.bridge.limits import Limit
from streams.bridge.models import (
    ENDS,
    STAMP_MAX,
    Action,
    Actions,
    ActionsQuery,
    Asked,
    Called,
    Completed,
    Completion,
    Decision,
    Decisions,
    DecisionsQuery,
    Dispatched,
    Ended,
    Ends,
    Refused,
)
from streams.bridge.offers import Batch, Offer
from streams.bridge.problems import Limited, NotFound
from streams.bridge.publisher import Publisher
from streams.bridge.store import Store
from streams.clock import Clock
from streams.sdk.envelope import SHAPES, subject_key

_log = logging.getLogger(__name__)

# The origin of completions; no game server's client can be called so.
COMPLETIONS = "_completions"
# Records older than a publication may last were left by a bridge that died, or could not reach the broker.
LEFT_BEHIND_S = 15.0
SWEEP_EVERY_S = 3.0


class Bridge:
    """What the routes do. One loop uses it; any number of bridges share one Postgres."""

    def __init__(self, store: Store, publisher: Publisher, clock: Clock, region: str, player_limit: Limit) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._region = region
        self._player_limit = player_limit
        # Batches of one client follow one another, so that its events reach the log in their order.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def dispatch(self, batch: Batch) -> Dispatched:
        """Take a batch onto the log. Raises Limited, TooManyGaps, and TemporaryError when nothing is acknowledged."""
        waits: dict[str, float] = {}

        def take(client: Client, world_version: int) -> Admission:
            counts = new_subjects(client, batch.offers)
            now_s = self._clock.monotonic_s()
            waits.update(self._player_limit.waits_s(counts, now_s))
            here = Here(self._region, self._clock.now_ms(), world_version)
            admission = admit(client, batch, waits.keys(), here)
            self._refuse_if_all_wait(batch, admission, waits)
            for subject in counts.keys() - waits.keys():
                self._player_limit.spend(subject, counts[subject], now_s)
            return admission

        async with self._turn(batch.client):
            late = await self._publish_left(batch.client)
            async with self._store.transaction() as connection:
                client = await self._store.lock_client(connection, batch.client)
                asks = any(offer.request is not None for offer in batch.offers)
                admission = take(client, await self._store.world_version(connection) if asks else 0)
                numbers = await self._store.save(connection, client, admission.records)
            await self._publish(admission.records, numbers)
        taken_late = late & set(admission.repeated)
        refusals = sorted([*batch.refusals, *admission.refusals], key=lambda one: one.index)
        untaken = {*admission.deferred, *(one.sequence for one in admission.refusals)}
        return Dispatched(
            accepted=len(admission.records) + len(taken_late),
            repeated=len(admission.repeated) - len(taken_late),
            refused=[
                Refused(index=one.index, sequence=one.sequence, reason=one.reason, detail=one.detail)
                for one in refusals
            ],
            asked=[
                Asked(sequence=offer.sequence, decision_id=decision_id(client, offer))
                for offer in batch.offers
                if offer.request is not None and offer.sequence not in untaken
            ],
            deferred=list(admission.deferred),
            retry_after_s=round(max(waits.values(), default=0.0), 3),
            expected=client.expected,
        )

    def _refuse_if_all_wait(self, batch: Batch, admission: Admission, waits: dict[str, float]) -> None:
        if admission.deferred and len(admission.deferred) == len(batch.offers) and not batch.refusals:
            raise Limited("every player in this batch is over the limit of actions: send it again", max(waits.values()))

    async def complete(self, completion: Completion) -> Completed:
        """Write what became of an action; what was said first stays. Raises NotFound, and TemporaryError."""
        decision_id = completion.decision_id
        async with self._turn(COMPLETIONS):
            await self._publish_left(COMPLETIONS)
            async with self._store.transaction() as connection:
                # The lock comes first: two that complete the same action take turns here.
                client = await self._store.lock_client(connection, COMPLETIONS)
                action = await self._store.find_action(connection, decision_id)
                if action is None:
                    raise NotFound(f"no decision {decision_id} is in effect: look at GET /api/v1/actions/pending")
                first = action if action["outcome"] is not None else None
                first = first or await self._store.first_completion(connection, decision_id)
                if first is not None:
                    said = {name: first[name] or "" for name in ("outcome", "detail", "server")}
                    return Completed(decision_id=decision_id, repeated=True, **said)
                said = {"outcome": completion.outcome, "detail": completion.detail, "server": completion.server}
                await self._store.complete(connection, decision_id, **said)
                fact = ActionCompleted(decision_id=decision_id, agent=action["agent"] or "", **said)
                offers = (_offer(client, action["subject"], fact),)
                here = Here(self._region, self._clock.now_ms())
                admission = admit(client, Batch(COMPLETIONS, offers, ()), (), here)
                numbers = await self._store.save(connection, client, admission.records)
            await self._publish(admission.records, numbers)
        return Completed(decision_id=decision_id, repeated=False, **said)

    async def pending(self, query: ActionsQuery) -> Actions:
        """A page of actions. Raises TemporaryError."""
        async with self._store.transaction() as connection:
            rows = await self._store.pending_actions(connection, _after(query), query.subjects, query.limit)
        actions = [
            Action(
                decision_id=row["decision_id"],
                subject=row["subject"] or "",
                agent=row["agent"] or "",
                action=row["action"] or "",
                content=row["content"] or "",
                about=row["about"] or "",
                impact=row["impact"] or "low",
                time_ms=time_ms(row["stamp"]),
                called_by=_called(row),
            )
            for row in rows
        ]
        return Actions(actions=actions, next=_next(rows, query))

    async def ended(self, query: ActionsQuery) -> Ends:
        """A page of ends without an effect. Raises TemporaryError."""
        async with self._store.transaction() as connection:
            rows = await self._store.ended(connection, _after(query), query.subjects, query.limit)
        ended = [
            Ended(
                decision_id=row["decision_id"],
                subject=row["subject"] or "",
                agent=row["agent"] or "",
                reason=row["reason"] or "",
                time_ms=time_ms(row["stamp"]),
                called_by=_called(row),
            )
            for row in rows
        ]
        return Ends(ended=ended, next=_next(rows, query))

    async def decisions(self, query: DecisionsQuery) -> Decisions:
        """What has become of decisions, also of those of which nothing will. Raises TemporaryError."""
        async with self._store.transaction() as connection:
            rows = await self._store.decisions(connection, query.decision_ids)
        return Decisions(
            decisions=[
                Decision(ended=row["status"] in ENDS, **{name: text or "" for name, text in row.items()})
                for row in rows
            ]
        )

    async def sweep(self) -> None:
        """Publish, for ever, what was left behind."""
        complaint = ""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                async with self._store.transaction() as connection:
                    clients = await self._store.left_behind(connection, LEFT_BEHIND_S)
                    await self._store.forget_calls(connection)
                for client in clients:
                    async with self._turn(client):
                        await self._publish_left(client)
                complaint = ""
            except TemporaryError as error:
                # A server may be away for hours: that it still is says nothing new.
                if complaint != error.reason:
                    _log.warning("events that were left behind still are: %s", error)
                complaint = error.reason

    async def _publish_left(self, client: str) -> set[int]:
        """Publish what is kept of a client, which an earlier request or bridge has not come to; gives its sequences."""
        async with self._store.transaction() as connection:
            numbers, records = await self._store.unpublished(connection, client)
        await self._publish(records, numbers)
        return {record.sequence for record in records}

    async def _publish(self, records: Sequence[Record], numbers: Sequence[int]) -> None:
        if records:
            await self._publisher.publish(records)
            async with self._store.transaction() as connection:
                await self._store.mark_published(connection, numbers)

    def _turn(self, client: str) -> asyncio.Lock:
        turn = self._turns.get(client)
        if turn is None:
            turn = self._turns[client] = asyncio.Lock()
        return turn


def _after(query: ActionsQuery) -> tuple[int, str]:
    stamp, _, last = (query.after or "0.").partition(".")
    return max((min(int(stamp), STAMP_MAX), last), (pack(query.since_ms), ""))


def _next(rows: Sequence[Any], query: ActionsQuery) -> str | None:
    return f"{rows[-1]['stamp']}.{rows[-1]['decision_id']}" if len(rows) == query.limit else None


def _called(row: Any) -> Called | None:
    if not row["called_by"]:
        return None
    return Called(event_id=row["called_by"], client=row["client"], sequence=row["sequence"])


def _offer(client: Client, subject: str, fact: ActionCompleted) -> Offer:
    topic = topic_of(fact)
    return Offer(
        index=0,
        sequence=client.numbers.last + 1,
        subject=subject,
        time_ms=0,
        cause=b"",
        trace="",
        topic=topic,
        partition=partition_of(subject, TOPICS[topic].partitions),
        key=subject_key(subject),
        field=SHAPES[type(fact)].encode(fact),
    )

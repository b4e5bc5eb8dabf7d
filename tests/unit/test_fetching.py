"""Fetching by topic id: what a broker answers is told by name, and a topic made anew is out of range."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any

from aiokafka.errors import OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.protocol.fetch import FetchRequest

from streams.fetch_by_id import INCONSISTENT_TOPIC_ID, UNKNOWN_TOPIC_ID, FetchRequest_v13, FetchResponse_v13
from streams.fetching import Tap

OLD, NEW = b"o" * 16, b"n" * 16
ASKED = FetchRequest(500, 1, 1 << 20, 1, [("actions", [(0, 40, 1 << 20), (1, 7, 1 << 20)])])
ABORTED = [(5, 41, {}), (6, 44, {})]


class Broker:
    """Answers fetches as a broker does that knows these versions, and these topics by their ids."""

    def __init__(self, fetch_version: int = 13) -> None:
        self.fetch_version = fetch_version
        self.ids: dict[str, bytes] = {"actions": OLD}
        self.asked: list[Any] = []
        self.code = 0

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, bytes]:
        return {topic: number for topic, number in self.ids.items() if topic in topics}

    async def send(self, node_id: int, request: Any) -> Any:
        sent = request.prepare({1: (0, self.fetch_version)})
        self.asked.append(sent)
        if not isinstance(sent, FetchRequest_v13):
            return sent.RESPONSE_TYPE(0, 0, 0, [("actions", [(0, 0, 50, 50, 0, None, -1, b"raw")])])
        # Over the wire and back.
        sent = FetchRequest_v13.decode(BytesIO(sent.encode()))
        [(number, partitions, _)] = sent.topics
        code = self.code if number in self.ids.values() else UNKNOWN_TOPIC_ID
        found = [(each[0], code, 50, 50, 0, ABORTED, -1, None if code else b"raw", {}) for each in partitions]
        answer = FetchResponse_v13(0, 0, 0, [(number, found, {})], {})
        return FetchResponse_v13.decode(BytesIO(answer.encode()))


async def tapped(broker: Broker) -> Tap:
    tap = Tap(broker, broker.topic_ids)
    await tap.pin(["actions"])
    return tap


def codes(answer: Any) -> list[int]:
    return [each[1] for _, partitions in answer.topics for each in partitions]


async def test_an_answer_by_id_is_told_by_name() -> None:
    broker = Broker()
    answer = await (await tapped(broker)).send(1, ASKED)
    assert answer.API_VERSION == 11
    pairs = [(5, 41), (6, 44)]
    assert answer.topics == [("actions", [(0, 0, 50, 50, 0, pairs, -1, b"raw"), (1, 0, 50, 50, 0, pairs, -1, b"raw")])]
    [asked] = broker.asked
    assert asked.isolation_level == 1
    assert asked.topics == [(OLD, [(0, -1, 40, -1, -1, 1 << 20, {}), (1, -1, 7, -1, -1, 1 << 20, {})], {})]


async def test_a_topic_made_anew_or_deleted_is_out_of_range() -> None:
    for now in ({"actions": NEW}, {}):
        broker = Broker()
        tap = await tapped(broker)
        broker.ids = dict(now)
        assert codes(await tap.send(1, ASKED)) == [OffsetOutOfRangeError.errno] * 2
        assert tap.replaced == {"actions"}


async def test_a_broker_that_has_not_heard_of_a_topic_yet_is_asked_again() -> None:
    for code in (UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID):
        broker = Broker()
        tap = await tapped(broker)
        broker.code = code
        assert codes(await tap.send(1, ASKED)) == [UnknownTopicOrPartitionError.errno] * 2
        assert not tap.replaced


async def test_a_topic_made_anew_is_told_at_the_next_claim() -> None:
    broker = Broker()
    tap = await tapped(broker)
    broker.ids = {"actions": NEW, "facts": OLD}
    await tap.pin(["facts"])
    assert tap.replaced == {"actions"}


async def test_a_broker_too_old_for_ids_is_asked_by_name() -> None:
    broker = Broker(fetch_version=11)
    tap = await tapped(broker)
    for _ in range(2):
        assert codes(await tap.send(1, ASKED)) == [0]
    assert [asked.API_VERSION for asked in broker.asked] == [11, 11]

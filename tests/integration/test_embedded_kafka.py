"""The embedded Kafka is a real broker: topics, durable writes, consumer groups."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.embedded import kafka as server
from tests.waiting import WITHIN_S, eventually

Named = Callable[[str], str]


def make_topic(kafka: str, name: str, partitions: int = 2) -> str:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(WITHIN_S)
    return name


def poll(consumer: Consumer, count: int) -> list[Message]:
    messages: list[Message] = []

    def all_there() -> bool:
        messages.extend(consumer.consume(count - len(messages), timeout=0.2))
        return len(messages) >= count

    eventually(all_there, message=f"{count} messages arrive")
    return messages


def test_what_is_produced_with_all_acknowledgements_is_consumed_in_order(kafka: str, fresh_name: Named) -> None:
    topic = make_topic(kafka, fresh_name("topic"), partitions=1)
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "acks": "all"})
    for number in range(100):
        producer.produce(topic, str(number).encode())
    assert producer.flush(WITHIN_S) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": fresh_name("group"),
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic])
    assert [int(message.value() or b"") for message in poll(consumer, 100)] == list(range(100))
    consumer.close()


def test_a_group_goes_on_where_its_last_member_committed(kafka: str, fresh_name: Named) -> None:
    topic, group = make_topic(kafka, fresh_name("topic"), partitions=1), fresh_name("group")
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(10):
        producer.produce(topic, str(number).encode())
    assert producer.flush(WITHIN_S) == 0
    options = {
        "bootstrap.servers": kafka,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    first = Consumer(options)
    first.subscribe([topic])
    fourth = poll(first, 4)[-1]
    first.commit(fourth, asynchronous=False)
    first.close()
    second = Consumer(options)
    second.subscribe([topic])
    assert poll(second, 6)[0].value() == b"4"
    second.close()


def test_a_topic_that_nobody_made_is_not_made_in_passing(kafka: str, fresh_name: Named) -> None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": fresh_name("group")})
    name = fresh_name("never")
    with pytest.raises(KafkaException):
        consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=2)
    consumer.close()
    assert name not in AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=WITHIN_S).topics


def test_a_broker_that_answers_is_healthy_and_a_silent_port_is_not(kafka: str) -> None:
    assert server.healthy(kafka)
    assert not server.healthy("127.0.0.1:1")

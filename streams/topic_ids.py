"""The ids of topics, which tell a topic from another of the same name that was there before."""

from __future__ import annotations

import struct
from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.admin import BrokerAway

_TIMEOUT_S = 15.0


def topic_ids(bootstrap: str, topics: Collection[str]) -> dict[str, bytes]:
    """The ids of these topics, of 16 bytes; without those that the broker does not have, or gives no id.

    Blocks; raises BrokerAway.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    found: dict[str, bytes] = {}
    described = admin.describe_topics(TopicCollection(list(topics)), request_timeout=_TIMEOUT_S)
    for name, coming in described.items():
        try:
            number = coming.result().topic_id
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise BrokerAway(f"the broker does not describe topic {name}: {error.args[0].str()}") from None
        halves = number.get_most_significant_bits(), number.get_least_significant_bits()
        if any(halves):
            found[name] = struct.pack(">qq", *halves)
    return found

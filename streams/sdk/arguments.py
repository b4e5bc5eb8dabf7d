"""Arguments: what a Producer and Decisions are given, checked before anything is begun with it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import Any

from schemas import EventRefused, PermanentError, Topic
from schemas.limits import REGION_BYTES_MAX, check_text

#: How the name of a game server begins the origin of its events.
ORIGIN_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
#: Kafka's own limit for names of topics; a group is named as shortly.
GROUP_BYTES_MAX = 249
#: Of an address that names none.
KAFKA_PORT = 9092

_ORIGIN = re.compile(ORIGIN_PATTERN)
_ADDRESSES_BYTES_MAX = 4096
_ADDRESS = re.compile(
    r"(?:(?:PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\])(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
_PORT_MAX = 65_535


class ArgumentRefused(PermanentError, ValueError):
    """An argument that a producer or a reader cannot work with."""

    reason = "argument_refused"


def checked_text(name: str, text: str, bytes_max: int) -> str:
    """A text of 1 to `bytes_max` bytes without NUL. Raises ArgumentRefused."""
    try:
        check_text(name, text, bytes_max)
    except EventRefused as error:
        raise ArgumentRefused(str(error)) from None
    if not text.strip():
        raise ArgumentRefused(f"{name} is empty: it has 1 to {bytes_max} bytes")
    return text


def checked_bootstrap(bootstrap: str) -> str:
    """The addresses of brokers; librdkafka would wait for ever for one that is none. Raises ArgumentRefused."""
    checked_text("bootstrap", bootstrap, _ADDRESSES_BYTES_MAX)
    addresses = [address.strip() for address in bootstrap.split(",") if address.strip()]
    for address in addresses or [bootstrap]:
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found["port"] or KAFKA_PORT) <= _PORT_MAX:
            raise ArgumentRefused(f"bootstrap is host:port,host:port: {address[:80]!r} is no address of a broker")
    return bootstrap


def checked_region(region: str) -> str:
    """A region's name. Raises ArgumentRefused."""
    return checked_text("region", region, REGION_BYTES_MAX)


def checked_origin(origin: str | None) -> str | None:
    """The beginning of an origin, or None. Raises ArgumentRefused."""
    if origin is not None and not (isinstance(origin, str) and _ORIGIN.fullmatch(origin)):
        raise ArgumentRefused(
            f"origin is 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or a digit, not {origin!r}"
        )
    return origin


def checked_folder(folder: str | os.PathLike[str]) -> Path:
    """A folder's path. Raises ArgumentRefused."""
    try:
        path = os.fspath(folder)
    except TypeError:
        raise ArgumentRefused(f"spill is the path of a folder, not {type(folder).__name__}") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ArgumentRefused(f"spill is the path of a folder, not {path!r}")
    return Path(path)


def checked_number(name: str, number: float, least: float, most: float = float("inf")) -> float:
    """A number of `least` to `most`. Raises ArgumentRefused, for NaN too."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not least <= number <= most:
        bounds = f"{least} or more" if most == float("inf") else f"{least} to {most}"
        raise ArgumentRefused(f"{name} is a number, {bounds}, not {number!r}")
    return number


def checked_whole(name: str, number: int, least: int) -> int:
    """A whole number of at least `least`. Raises ArgumentRefused."""
    if not isinstance(number, int):
        raise ArgumentRefused(f"{name} is a whole number, {least} or more, not {number!r}")
    checked_number(name, number, least)
    return number


def checked_timeout(timeout_s: float) -> float:
    """A time to wait, 0 or more seconds, as long as a lock can wait at most. Raises ArgumentRefused."""
    return min(checked_number("timeout_s", timeout_s, 0), threading.TIMEOUT_MAX)


def checked_topics(topics: Mapping[str, Topic]) -> Mapping[str, Topic]:
    """A table of topics by their names. Raises ArgumentRefused."""
    if not isinstance(topics, Mapping) or not all(isinstance(topic, Topic) for topic in topics.values()):
        raise ArgumentRefused("topics is a table of schemas.Topic by name, such as schemas.TOPICS")
    for name, topic in topics.items():
        if name != topic.name or topic.partitions < 1:
            raise ArgumentRefused(f"topics names {topic.name!r} under {name!r}, with {topic.partitions} partitions")
    return topics


def checked_client(client: Mapping[str, Any] | None, fixed: Collection[str]) -> dict[str, Any]:
    """Further settings of librdkafka, none of them `fixed`. Raises ArgumentRefused."""
    if client is None:
        return {}
    if not isinstance(client, Mapping) or not all(isinstance(name, str) for name in client):
        raise ArgumentRefused('client is a table of settings of librdkafka, such as {"security.protocol": "ssl"}')
    if taken := sorted(client.keys() & set(fixed)):
        raise ArgumentRefused(f"{', '.join(taken)}: the order and safety of events depend on these settings")
    return dict(client)


def checked_subjects(subjects: Container[str] | None) -> Container[str] | None:
    """A collection of subjects, or None. Raises ArgumentRefused for one text, of which every piece would match."""
    if subjects is not None and (isinstance(subjects, (str, bytes)) or not isinstance(subjects, Container)):
        raise ArgumentRefused(f"subjects is a collection of subjects, such as a set, not {subjects!r}")
    return subjects


def checked_clock(now_ms: Callable[[], int]) -> Callable[[], int]:
    """A clock of whole milliseconds since 1970, asked once. Raises ArgumentRefused."""
    if not callable(now_ms) or not isinstance(now := now_ms(), int) or now < 0:
        raise ArgumentRefused("now_ms is a function that gives the milliseconds since 1970, a whole number")
    return now_ms


def checked_random(random: Callable[[int], bytes], size: int) -> bytes:
    """So many random bytes. Raises ArgumentRefused for a source that does not give them."""
    if not callable(random) or not isinstance(drawn := random(size), bytes) or len(drawn) != size:
        raise ArgumentRefused("random is a function that gives as many random bytes as it is asked for")
    return drawn

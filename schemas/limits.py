"""Limits: what a fact and its envelope may hold, said once for those who write events and those who fold them.

A producer refuses at once what is over a limit, so that the game hears of it; a fold that meets it all the same makes a
dead letter of it. A field that is in neither table below is a quantity or a name: projections may add up the one, and
keep rows by the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from schemas.errors import EventRefused
from schemas.event import FACTS, fact_name

#: What is larger belongs in a store, and its address in the fact.
FACT_BYTES_MAX = 10 * 1024
#: A subject is a key in every table: long enough for any id, short enough for an index.
SUBJECT_BYTES_MAX = 256
#: An event's id is a UUID.
ID_BYTES = 16
#: A dot is kept in Postgres's bigint, with one number more than the last; no producer counts so far.
SEQUENCE_MAX = 2**62
#: An origin is a key in the table of dots; a producer's name and its life's id take some fifty bytes.
ORIGIN_BYTES_MAX = 256
#: A W3C traceparent has 55 characters; later versions of it may be longer.
TRACE_BYTES_MAX = 128
#: A region is a part of every key; there are a handful of them, with names such as eu-central-1.
REGION_BYTES_MAX = 64
#: Ours have 36 characters; another writer's may be longer.
DECISION_ID_BYTES_MAX = 200
#: A row of Postgres's index takes 2,704 bytes, and a key has at most four texts (a bag's: subject, id, kind, region).
NAME_BYTES_MAX = 600
#: A batch of two million of the largest quantity still adds up to less than Postgres's bigint holds.
QUANTITY_MAX = 2**42
#: Postgres's bigint: the greatest number that is only compared or shown.
NUMBER_MAX = 2**63 - 1

#: Numbers that nothing adds up, of at most NUMBER_MAX: a game's flags may be bit masks, and an offset is Kafka's.
NUMBERS = frozenset({"flag_set.value", "dead_lettered.offset"})

#: Texts that are no keys, as long as the fact has room for them: people's and models' words, and JSON.
TEXTS = frozenset(
    {
        "action_completed.detail",
        "announced.text",
        "answer_found_unsafe.detail",
        "answer_found_unsafe.text",
        "approval_given.comment",
        "approval_requested.content",
        "arc_started.plan",
        "arc_started.title",
        "budget_refused.detail",
        "chapter_opened.text",
        "chapter_opened.title",
        "dead_lettered.detail",
        "decision_closed.comment",
        "decision_closed.reason",
        "decision_effective.about",
        "decision_effective.comment",
        "decision_effective.content",
        "decision_proposed.content",
        "decision_proposed.fallback_reason",
        "decision_proposed.safety",
        "decision_proposed.why",
        "decision_rejected.reason",
        "decision_requested.context",
        "models_insufficient.detail",
        "player_said.text",
        "schedule_due.context",
        "worker_stopped.reason",
    }
)

_SHOWN_CHARACTERS_MAX = 40
# A character of UTF-8 takes at most four bytes, so a text of so few is within every limit.
_NEED_NO_COUNTING = min(NAME_BYTES_MAX, DECISION_ID_BYTES_MAX) // 4
_WIDE = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
_REAL = frozenset({FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE})


def number_max(path: str) -> int:
    """The greatest number that a field such as "gold_gained.amount" may hold."""
    return NUMBER_MAX if path in NUMBERS else QUANTITY_MAX


def text_bytes_max(path: str) -> int:
    """The most bytes that a text such as "gold_gained.reason" may have."""
    if path in TEXTS:
        return FACT_BYTES_MAX
    return DECISION_ID_BYTES_MAX if path.endswith(".decision_id") else NAME_BYTES_MAX


@dataclass(frozen=True, slots=True)
class FactLimits:
    """The fields of one kind of fact that have values over a limit, by name, and the limit of each."""

    fact: str
    #: The most bytes of a text, and of each text of a list.
    texts: tuple[tuple[str, int], ...]
    lists: tuple[tuple[str, int], ...]
    #: The greatest number of 64 bits; one of 32 is within any limit.
    numbers: tuple[tuple[str, int], ...]
    #: Numbers that must be finite.
    reals: tuple[str, ...]

    @classmethod
    def of(cls, fact: str) -> FactLimits:
        """The limits of the fact of this name."""
        fields: Sequence[Any] = FACTS[fact].DESCRIPTOR.fields
        unseen = [field.full_name for field in fields if field.message_type is not None]
        unseen += [field.full_name for field in fields if field.is_repeated and not _is_text(field)]
        assert not unseen, f"FactLimits checks texts, lists of texts and numbers; teach it to look into {unseen}"
        texts = [field for field in fields if _is_text(field)]
        return cls(
            fact,
            tuple((f.name, text_bytes_max(f"{fact}.{f.name}")) for f in texts if not f.is_repeated),
            tuple((f.name, text_bytes_max(f"{fact}.{f.name}")) for f in texts if f.is_repeated),
            tuple((f.name, number_max(f"{fact}.{f.name}")) for f in fields if f.cpp_type in _WIDE),
            tuple(f.name for f in fields if f.cpp_type in _REAL),
        )

    def check(self, fact: Message) -> None:
        """Raises EventRefused for the first field over its limit; the size of the whole is not looked at."""
        for name, bytes_max in self.texts:
            text = getattr(fact, name)
            if len(text) > _NEED_NO_COUNTING or "\0" in text:
                check_text(f"{self.fact}.{name}", text, bytes_max)
        for name, most in self.numbers:
            number = getattr(fact, name)
            if number > most or number < -most:
                raise EventRefused(f"{self.fact}.{name} is {number}: at most {most}")
        for name in self.reals:
            real = getattr(fact, name)
            if not isfinite(real):
                raise EventRefused(f"{self.fact}.{name} is {real}: a fact's numbers are finite")
        for name, bytes_max in self.lists:
            for text in getattr(fact, name):
                check_text(f"{self.fact}.{name}", text, bytes_max)


def _is_text(field: FieldDescriptor) -> bool:
    return bool(field.type == FieldDescriptor.TYPE_STRING)


#: The limits of every fact, by its name.
FACT_LIMITS: Mapping[str, FactLimits] = {name: FactLimits.of(name) for name in FACTS}


def check_fact(fact: Message) -> None:
    """Raises EventRefused, with the field, its limit and its value, for a fact that may not be on the log.

    Raises UnknownFact for a message that is no fact.
    """
    if not isinstance(fact, Message):
        raise EventRefused(f"a fact is a message such as schemas.PlayerMoved, not {type(fact).__name__}")
    name = fact_name(fact)
    FACT_LIMITS[name].check(fact)
    check_size(name, fact.ByteSize())


def check_size(fact: str, size_bytes: int) -> None:
    """Raises EventRefused for a fact of more bytes than a fact may have."""
    if size_bytes > FACT_BYTES_MAX:
        raise EventRefused(
            f"{fact} of {size_bytes} bytes: a fact has at most {FACT_BYTES_MAX}; keep what is large elsewhere and"
            " publish where it is"
        )


def check_text(name: str, text: str, bytes_max: int) -> None:
    """Raises EventRefused for a text with a NUL, a surrogate, or more bytes than `bytes_max`."""
    if not isinstance(text, str):
        raise EventRefused(f"{name} is a str, not {type(text).__name__}")
    if "\0" in text:
        raise EventRefused(f"{name} holds a NUL character, which Postgres cannot store: {_shown(text)}")
    try:
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise EventRefused(f"{name}, {_shown(text)}, is not Unicode text: {error.reason}") from None
    if size_bytes > bytes_max:
        raise EventRefused(f"{name} has {size_bytes} bytes: at most {bytes_max}: {_shown(text)}")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]!r}..."


def check_subject(subject: str) -> None:
    """Raises EventRefused for a subject that is no text, empty, too long, or holds what no key can hold."""
    if not isinstance(subject, str):
        raise EventRefused(f"a subject is a str, not {type(subject).__name__}")
    if not subject:
        raise EventRefused("an event needs a subject: the id of the player or the place it is about")
    check_text("the subject", subject, SUBJECT_BYTES_MAX)


def check_links(cause: bytes, trace: str) -> None:
    """Raises EventRefused unless the cause is an event's id or empty and the trace is a short text or empty."""
    if not isinstance(cause, bytes) or len(cause) not in (0, ID_BYTES):
        raise EventRefused(f"a cause is the id of an event, {ID_BYTES} bytes, not {cause!r}")
    if not isinstance(trace, str) or len(trace) > TRACE_BYTES_MAX or not (trace.isascii() and trace.isprintable()):
        raise EventRefused(f"a trace is a W3C traceparent of at most {TRACE_BYTES_MAX} characters, not {trace!r}")

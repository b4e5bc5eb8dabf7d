"""Every error Norn raises about facts.

NornError
├── TemporaryError        the same thing may work later: wait and try again
└── PermanentError        trying again is useless
    ├── EventRefused      a producer offered a fact that may not be written; the message says what to change
    ├── UnknownFact       a message that is not in Event's oneof, or an event that holds none
    ├── UndecodableEvent  bytes that are not an Event
    ├── NoDot             an event without a place in its producer's life, by which it could be told from a repeat
    ├── ForeignFact       an event in a topic that its fact does not belong to
    ├── LifeForgotten     an event of a producer's life that ended so long ago that its numbers were forgotten
    └── FutureStamp       an event stamped further ahead of its arrival than clocks may differ
"""

from __future__ import annotations


class NornError(Exception):
    """The root of Norn's own errors; `reason` is its name in dead letters and metrics."""

    reason = "error"


class TemporaryError(NornError):
    """The same call may succeed later."""

    reason = "temporary"


class PermanentError(NornError):
    """The same call will always fail."""

    reason = "permanent"


class EventRefused(PermanentError):
    """A fact that may not be written to the log."""

    reason = "invalid_event"


class UnknownFact(PermanentError):
    """A message that Event's oneof does not list."""

    reason = "unknown_fact"


class UndecodableEvent(PermanentError):
    """Bytes that are not an Event."""

    reason = "undecodable"


class NoDot(PermanentError):
    """An event whose origin or sequence cannot be those of an event."""

    reason = "no_dot"


class ForeignFact(PermanentError):
    """A fact in a topic that is not its own."""

    reason = "foreign_fact"


class LifeForgotten(PermanentError):
    """An event that may be a repeat of one whose number is no longer kept."""

    reason = "life_forgotten"


class FutureStamp(PermanentError):
    """A stamp so far ahead that, believed, it would win against every honest clock."""

    reason = "future_stamp"

"""What a worker's log holds of servers that are away: a line when one goes and one when it is back.

The libraries beneath say several times in each tenth of a second that they cannot reach a broker. A filter at the
handlers takes these lines for a question: does any broker answer? It tells the answer when that changes, and drops the
rest. Other complaints that repeat themselves are folded into one line a minute.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Loggers of libraries, by the beginning of their names.
LIBRARIES = ("aiokafka", "faust", "mode", "asyncio")
#: A complaint that has been printed is not printed again for so long.
FOLD_S = 60.0
#: How often a broker that is away is asked whether it is back.
ASK_EVERY_S = 1.0
#: A broker that has just answered is not asked again for so long, whatever is complained of.
TRUSTED_S = 5.0
#: Complaints that are remembered; past them the oldest is forgotten, and may be printed again.
REMEMBERED_MAX = 256

KAFKA = "Kafka"
AWAY, BACK = "%s is away", "%s is back"
_TROUBLE = re.compile(
    r"NodeNotReady|KafkaConnection|RequestTimedOut|KafkaTimeout|CoordinatorNotAvailable|NotCoordinator"
    r"|Unable (to )?connect|Unable to update metadata|[Cc]oordinator dead|Heartbeat (failed|session expired)"
    r"|Connection at \S+ closed"
)


class QuietLog(logging.Filter):
    """The filter; one for all handlers of a process."""

    def __init__(
        self,
        answers: Callable[[], bool],
        *,
        now_s: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`answers` says whether a broker does, and may block for seconds; `begin` runs it beside everything else."""
        super().__init__()
        self._answers = answers
        self._now_s = now_s
        self._begin = begin or _in_a_thread
        self._pause = pause
        self._lock = threading.RLock()
        self._away: set[str] = set()
        self._asking = False
        self._answered_s = -math.inf
        #: When each complaint was last printed, and how often it came since.
        self._printed: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is printed. A record that comes by several handlers is judged once."""
        judged: bool | None = getattr(record, "_judged", None)
        if judged is None:
            with self._lock:
                judged = self._judge(record)
            record._judged = judged
        return judged

    def _judge(self, record: logging.LogRecord) -> bool:
        form, values = _form(record)
        if values and isinstance(form, str):
            server = str(values[0])
            if form.startswith(AWAY):
                # A broker that has just come back answers before its partitions have leaders: it is not away again.
                returning = server == KAFKA and self._now_s() - self._answered_s <= TRUSTED_S
                told = server in self._away or returning
                if not returning:
                    self._away.add(server)
                return not told
            if form.startswith(BACK):
                told = server in self._away
                self._away.discard(server)
                return told
        if record.levelno < logging.WARNING or not record.name.startswith(LIBRARIES):
            return True
        if _TROUBLE.search(record.getMessage()):
            if KAFKA in self._away or self._asking:
                return False
            if self._now_s() - self._answered_s > TRUSTED_S:
                self._asking = True
                self._begin(lambda: self._ask(record))
                return False
            # Of a broker that has just answered all such complaints are one.
            return self._is_new(record, (KAFKA, "trouble"))
        return self._is_new(record, _kind(record))

    def _ask(self, record: logging.LogRecord) -> None:
        """Ask whether a broker answers, until one does; tells what changes."""
        why = record.getMessage()
        if not self._answers():
            log.warning(f"{AWAY} (%s): waiting for it; nothing is lost, work goes on when it is back", KAFKA, why)
            while not self._answers():
                self._pause(ASK_EVERY_S)
            log.warning(BACK, KAFKA)
        with self._lock:
            self._asking = False
            self._answered_s = self._now_s()

    def _is_new(self, record: logging.LogRecord, key: tuple[str, str]) -> bool:
        """Whether this complaint has not been printed lately; one that has is counted, and told of with the next."""
        now_s = self._now_s()
        printed_s, more = self._printed.pop(key, (-math.inf, 0))
        if now_s - printed_s < FOLD_S:
            self._printed[key] = printed_s, more + 1
            return False
        self._printed[key] = now_s, 0
        while len(self._printed) > REMEMBERED_MAX:
            del self._printed[next(iter(self._printed))]
        if more:
            record.msg, record.args = f"{record.getMessage()} (and {more:,} more like it since the last)", ()
        return True


def _kind(record: logging.LogRecord) -> tuple[str, str]:
    """What complaints that differ in their values alone have in common."""
    form, values = _form(record)
    return record.name, re.sub(r"\d+", "", str(form) if values else record.getMessage())


def _form(record: logging.LogRecord) -> tuple[object, tuple[object, ...]]:
    """A record's text before its values were put in, and the values, whether or not streams.harmless made it."""
    form, values = getattr(record, "form", record.msg), getattr(record, "values", record.args)
    return form, values if isinstance(values, tuple) else ()


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="asks-whether-kafka-answers", daemon=True).start()

"""Foreign text made harmless for a screen: what would move the cursor, turn the reading order or hide is written out.

Anybody can write anything to the log. A terminal obeys control characters, and a browser and a terminal alike obey the
marks of writing direction, which HTML's escaping leaves as they are: "deny<U+202E>evorppa" must not be read backwards
by the person who approves.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# C0, DEL and C1; the soft hyphen and joiners that cannot be seen; the marks and overrides of writing direction, the
# zero-width characters, the separators of lines; fillers that look like nothing at all; halves of surrogate pairs; an
# alphabet of tags that cannot be seen. tests/unit/test_harmless.py holds the list against Unicode's own categories.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# The flags of England, Scotland and Wales are a black flag and tags: the only ones that every font has.
_FLAGS = tuple(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_FLAG = re.compile("|".join(_FLAGS))
# Persian spells with the non-joiner, the scripts of India with both.
_JOINING = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\ua840-\ua87f\ufb50-\ufdff]")
_EMOJI = re.compile("[\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")


def harmless(text: str) -> str:
    r"""The text as a screen may show it: one line, read in its own order, with `\x1b` or `<U+202E>` for what is odd.

    Letters of every script stay, and so do emoji, with the joiners that either are spelled with. What comes out holds
    no surrogate, so it can be encoded; given again, it stays as it is.
    """
    if not _ODD.search(text):
        return text
    flags = [found.span() for found in _FLAG.finditer(text)]

    def shown(found: re.Match[str]) -> str:
        at = found.start()
        if _joins(text, at) or any(start < at < end for start, end in flags):
            return text[at]
        return _written(text[at])

    return _ODD.sub(shown, text)


def harmless_lines(text: str) -> str:
    """The same for a text of several lines. Each but the first is set in, so that none can pass for one of ours."""
    first, *others = text.split("\n")
    return "\n  ".join([harmless(first), *map(harmless, others)])


def harmless_all(value: Any) -> Any:
    """What JSON can hold, with every text in it made harmless, the names of its fields too."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, Mapping):
        return {harmless_all(name): harmless_all(held) for name, held in value.items()}
    if isinstance(value, Sequence):
        return [harmless_all(held) for held in value]
    return value


class _HarmlessRecords:
    """Makes log records as another factory does, and their texts harmless."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make
        self._as_text = logging.Formatter()

    def __call__(self, *given: Any, **named: Any) -> logging.LogRecord:
        record = self._make(*given, **named)
        # For filters that know a complaint by its form.
        record.form, record.values = record.msg, record.args
        try:
            record.msg = harmless_lines(record.getMessage())
        except Exception:  # arguments that do not fit their message: logging itself says where
            return record
        record.args = ()
        if record.exc_info:
            record.exc_text = harmless_lines(self._as_text.formatException(record.exc_info))
        return record


def harmless_logs() -> None:
    """From now on, whatever this process logs is harmless, whoever logs it and wherever it is written.

    A message or an error may quote what somebody wrote to the log of events, and a log is read at a terminal too.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _HarmlessRecords):
        logging.setLogRecordFactory(_HarmlessRecords(make))


def _joins(text: str, at: int) -> bool:
    before, odd, after = text[at - 1 : at], text[at], text[at + 1 : at + 2]
    if odd == _JOINER and _EMOJI.match(before) and _EMOJI.match(after):
        return True
    return odd in (_JOINER, _NON_JOINER) and bool(_JOINING.match(before) and _JOINING.match(after))


def _written(odd: str) -> str:
    number = ord(odd)
    return _SHORT.get(odd) or (f"\\x{number:02x}" if number < 0xA0 else f"<U+{number:04X}>")

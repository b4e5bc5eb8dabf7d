"""The meaning of a server's refusal: whose fault it is, whether asking again helps, and how a person can mend it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from inference.engines.engine import EngineBusy, EngineRefused, PromptRefused, QueueFull

# The provider's own filter: OpenAI content_policy_violation and invalid_prompt, Azure content_filter, xAI "Content
# violates usage guidelines" with a 403, DeepSeek "Content Exists Risk", Alibaba data_inspection_failed, OpenRouter
# "requires moderation", Anthropic "Output blocked by content filtering policy".
_WITHHELD = re.compile(
    r"content[_ -]?(filter|policy|moderation|exists risk|violates|management policy)|responsibleaipolicy|safety_check"
    r"|data_inspection|invalid_prompt|\bmoderation\b|(prompt|input|output|request|message|response|text)\b[^.]{0,60}"
    r"(was |were |been )?(flagged|filtered|blocked|prohibited)",
    re.IGNORECASE,
)
# Groq: the model's text does not follow the schema, and is held back.
_MISWRITTEN = re.compile(r"json_validate_failed|tool_use_failed|failed_generation", re.IGNORECASE)
# Some servers say so with a 429 or a 500: OpenAI "Request too large", llama.cpp "Context size has been exceeded".
_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|(maximum|max) context|request too large"
    r"|(prompt|request|input) is too (long|large)|string too long|string_above_max_length",
    re.IGNORECASE,
)
# A 400 about the account or the model: another prompt would get the same.
_OUR_FAULT = re.compile(
    r"api[_ -]?key|credit balance|billing|insufficient|\bquota|unauthori[sz]ed|deactivated|suspended|decommissioned"
    r"|model_not_found|model\b.{0,80}(not found|not exist|not available)|location is not supported",
    re.IGNORECASE,
)
# How servers say that they do not know a field, as against one whose value is too large.
_UNSUPPORTED = re.compile(
    r"support|unavailable|unrecogni[sz]ed|unknown|permitted|deprecated|invalid schema", re.IGNORECASE
)
# Servers such as vLLM speak of the schema, and not of the field that it stands in.
_SCHEMA = re.compile(r"json[ _]schema|structured[ _]outputs?|guided[ _]json", re.IGNORECASE)
SCHEMA_FIELD = "response_format"
# Servers that quote the request do so at the end: a player who writes "billing" shall not stop it for everybody.
OUR_FAULT_MAX = 80
#: Of an error inside an answer that does not say which status it would have.
NO_STATUS = 0
# Of the codes that a server puts into an error's body, so many characters may tell which it is.
CODE_MAX = 400


class BadRequest(PromptRefused):
    """The server refused the request for what stands in it: `parameter` names the field if the server did."""

    def __init__(self, text: str, message: str, parameter: str) -> None:
        super().__init__(text)
        self.message = message
        self.parameter = parameter

    def unsupported(self, fields: Collection[str]) -> str:
        """Which of these fields the server does not know, or does not know in this form; "" for none of them."""
        place = re.split(r"[.\[]", self.parameter)[0]
        if place in fields:
            return place
        message = _SCHEMA.sub(SCHEMA_FIELD, self.message)
        named = [field for field in fields if re.search(rf"\b{field}\b", message)]
        return named[0] if named and _UNSUPPORTED.search(message) else ""


class Withheld(PromptRefused):
    """The provider's filter withheld the answer, or the model refused to give one. Either may have been paid for."""

    reason = "withheld"


class Again(Exception):
    """A failure that may be over soon, when the same is asked again."""

    def __init__(self, error: EngineBusy, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class Told(NamedTuple):
    """An error in a server's own words."""

    message: str = ""
    parameter: str = ""
    code: str = ""

    @classmethod
    def of(cls, reply: Any) -> Told:
        """Read an error, in any of the shapes that servers give it."""
        # Google puts its errors into a list.
        reply = reply[0] if isinstance(reply, list) and len(reply) == 1 else reply
        error = reply.get("error", reply) if isinstance(reply, Mapping) else reply
        if not isinstance(error, Mapping):
            return cls(str(error), "", _code(reply))
        message = error.get("message") or error.get("detail") or ""
        return cls(str(message), str(error.get("param") or ""), _code(error))

    @property
    def words(self) -> str:
        """Code and message together, to search in."""
        return f"{self.code} {self.message}"

    @property
    def written(self) -> bool:
        """Whether the model may have read or written something before it was refused, which providers charge for."""
        return bool(_WITHHELD.search(self.words) or _MISWRITTEN.search(self.words))


def failure_of(status: int, told: Told, said: str, after_s: float, key_setting: str, url: str) -> Exception:
    """The error for a status other than 200: an EngineRefused or, where asking again may help, an Again.

    `said` is what may be shown of it. It is the prompt's fault where the server says so, or speaks of what stands in
    the request; all else is the service's.
    """
    blamed = _of_the_prompt(status, told, said)
    if blamed is not None:
        return blamed
    if status in (401, 403):
        # The server's own words may repeat the key.
        setting = f": check {key_setting}" if key_setting else ""
        return EngineRefused(f"{said.partition(':')[0]}: it does not accept the key{setting}")
    if status == 402 or "insufficient_quota" in told.code:
        return EngineRefused(f"{said}: the account has nothing left; pay, or choose another provider")
    if status in (429, 503) and "queue" in told.message.lower():
        return Again(QueueFull(said), after_s)
    if status in (408, 425, 429) or status >= 500:
        return Again(EngineBusy(said), after_s)
    if status == NO_STATUS:
        return Again(EngineBusy(said), after_s)
    if status == 400:
        return EngineRefused(f"{said}: check the account and the model's name")
    if status == 404:
        return EngineRefused(f"{said}: check the model's name and the URL {url}")
    return EngineRefused(f"{said}: is {url} the API of a provider?")


def _of_the_prompt(status: int, told: Told, said: str) -> PromptRefused | None:
    if status in (NO_STATUS, 400, 403, 422) and _WITHHELD.search(told.words):
        return Withheld(f"{said}: the provider's filter withheld the answer")
    if _MISWRITTEN.search(told.words):
        return PromptRefused(f"{said}: the model did not write what was asked for")
    if status == 413 or _TOO_LONG.search(told.words):
        return PromptRefused(f"{said}: the prompt is too long for this server; shorten it")
    if status == 451:
        return Withheld(said)
    if status == 422 or (status == 400 and not _OUR_FAULT.search(f"{told.code} {told.message[:OUR_FAULT_MAX]}")):
        return BadRequest(said, told.message, told.parameter)
    return None


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How long the server asks us to wait: seconds, or a moment, which its own clock tells how far off it is."""
    asked = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", asked):
        return float(asked)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _code(error: Any) -> str:
    """Every code of an error: its own, its type and status, and Azure's inner one."""
    if not isinstance(error, Mapping):
        return ""
    inner = error.get("innererror")
    codes = [error.get(name) for name in ("code", "type", "status", "error_type")]
    codes += [
        inner.get("code") if isinstance(inner, Mapping) else None,
        "failed_generation" * ("failed_generation" in error),
    ]
    return " ".join(str(code) for code in codes if code)[:CODE_MAX]

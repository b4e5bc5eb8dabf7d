"""Asking a server in JSON over HTTP: kept connections, repeats inside the deadline, and no trust in what comes back."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay

from inference.bill import Call
from inference.engines.engine import ALLOWED_MS, EngineBusy, EngineRefused, EngineTimeout, QueueFull
from inference.prompts import RESERVED, Prompt, as_data

# Spec C.11: ten connections, kept for the next request.
CONNECTIONS = 10
KEEP_ALIVE_S = 30.0
# A host that does not take the connection by now is tried again rather than waited for.
CONNECT_S = 2.0
# Spec C.11 says "3 attempts with backoff 1 s, 2 s, 4 s": read as three repeats, because of three attempts in all the
# third has none after it, and nobody would ever wait for four seconds.
BACKOFF_S = (1.0, 2.0, 4.0)
# Those who were refused at one moment shall not all come back at one moment.
JITTER_SHARE = 0.25
# What a proxy says when it has lost or given up on the model behind it, which may have worked all the same.
GIVEN_UP = (408, 502, 504)
# What is asked with less time left than this would be thrown away when it comes.
ATTEMPT_MIN_S = 0.2
# The largest prompt that any of our models reads takes a tenth of this; an answer is at most 8 KB and its envelope.
REQUEST_MAX_BYTES = 1_000_000
RESPONSE_MAX_BYTES = 1_000_000
# Of a server's own words this many are for people to read.
MESSAGE_MAX = 160
# No answer takes more; a count beyond it is made up.
TOKENS_MAX = 10_000_000
# How servers say that they do not know a field, as against one whose value is too large.
_UNSUPPORTED = re.compile(
    r"support|unavailable|unrecogni[sz]ed|unknown|permitted|deprecated|invalid schema", re.IGNORECASE
)

Json = Mapping[str, Any]
Sleep = Callable[[float], Awaitable[None]]


class BadRequest(EngineRefused):
    """The server refused the request for what stands in it: `parameter` names the field if the server did."""

    def __init__(self, text: str, message: str, parameter: str) -> None:
        super().__init__(text)
        self.message = message
        self.parameter = parameter

    def unsupported(self, fields: Collection[str]) -> str:
        """Which of these fields the server does not know, or does not know in this form; "" for none of them."""
        if self.parameter in fields:
            return self.parameter
        named = [field for field in fields if re.search(rf"\b{field}\b", self.message)]
        return named[0] if named and _UNSUPPORTED.search(self.message) else ""


class _Again(Exception):
    """A failure that may be over soon, when the same is asked again."""

    def __init__(self, error: EngineBusy, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class JsonServer:
    """One server, asked by POST."""

    def __init__(
        self, name: str, model: str, url: str, headers: Mapping[str, str], *, key: str, key_setting: str, sleep: Sleep
    ) -> None:
        """`model` is what its calls are noted under.

        `key` is never shown, and stands in `headers` only where `may_carry_key` allows it.
        """
        self._name = name
        self._model = model
        self._url = checked_url(url)
        self._headers = dict(headers)
        self._key = key
        self._key_setting = key_setting
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, path: str, prompt: Prompt, body: Callable[[Prompt], Json], do_without: Callable[[BadRequest], bool]
    ) -> tuple[Json, Call]:
        """The server's answer to a prompt, and the call that it came of, asked again while there is time.

        Where the server refuses what stands in the body, `do_without` leaves that out of the bodies to come, or says
        that it cannot. Cancelling closes the request. Raises EngineBusy and EngineRefused.
        """
        refuse_reserved(prompt)
        until_s = asyncio.get_running_loop().time() + (prompt.allowed_ms or ALLOWED_MS) / 1000
        while True:
            try:
                return await self._post(path, body(prompt), until_s, prompt)
            except BadRequest as refused:
                if not do_without(refused):
                    raise

    async def close(self) -> None:
        """Close the connections; the next request opens others."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, path: str, body: Json, until_s: float, prompt: Prompt) -> tuple[Json, Call]:
        """The server's answer to a body, asked again while it is busy, until then and as far as the bill covers it."""
        payload = orjson.dumps(body)
        if len(payload) > REQUEST_MAX_BYTES:
            raise EngineRefused(f"the prompt takes {len(payload)} bytes, of at most {REQUEST_MAX_BYTES}: shorten it")
        allowed_s = until_s - asyncio.get_running_loop().time()
        jitter = random.Random(prompt.seed)
        attempts = AsyncRetrying(
            stop=stop_after_attempt(1 + len(BACKOFF_S)) | stop_before_delay(allowed_s - ATTEMPT_MIN_S),
            wait=lambda state: _pause_s(state, jitter),
            retry=retry_if_exception(lambda why: isinstance(why, _Again) and prompt.bill.covers(self._model, prompt)),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            done: tuple[Json, Call] = await attempts(self._once, path, payload, until_s, prompt)
        except _Again as again:
            raise again.error from again.__cause__
        return done

    async def _once(self, path: str, payload: bytes, until_s: float, prompt: Prompt) -> tuple[Json, Call]:
        with prompt.call(self._model) as call:
            status, headers, body = await self._sent(path, payload, until_s, call)
            if status == 200:
                return self._good(body), call
            if status not in GIVEN_UP:
                call.rejected()
            raise self._failure(status, headers, body)

    async def _sent(
        self, path: str, payload: bytes, until_s: float, call: Call
    ) -> tuple[int, Mapping[str, str], bytes]:
        left_s = until_s - asyncio.get_running_loop().time()
        timeout = aiohttp.ClientTimeout(total=max(left_s, 0.001), sock_connect=CONNECT_S)
        try:
            # A server that sends us elsewhere would have the key sent there as well.
            async with self._opened().post(
                self._url + path, data=payload, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, response.headers, await self._read(response)
        except aiohttp.ConnectionTimeoutError as error:
            call.unmade()
            raise _Again(EngineBusy(f"{self._name} does not take the connection")) from error
        except TimeoutError as error:
            raise EngineTimeout(f"no answer from {self._name} in time") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                call.unmade()
            raise _Again(EngineBusy(f"{self._name} cannot be reached: {type(error).__name__}")) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", **self._headers},
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > RESPONSE_MAX_BYTES:
                response.close()
                raise EngineBusy(f"{self._name} answered with more than {RESPONSE_MAX_BYTES} bytes")
        return bytes(body)

    def _good(self, body: bytes) -> Json:
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise EngineBusy(f"{self._name} answered with something that is not JSON") from error
        if not isinstance(reply, dict):
            raise EngineBusy(f"{self._name} answered with JSON that is no object")
        if reply.get("error"):
            message, _, _ = _told(reply)
            raise EngineBusy(f"{self._name} answered with an error inside: {self._shown(message)}")
        return reply

    def _failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
        try:
            message, parameter, code = _told(orjson.loads(body))
        except orjson.JSONDecodeError:
            message, parameter, code = "", "", ""
        said = f"{self._name} answered {status}: {self._shown(message)}".removesuffix(": ")
        if status in (401, 403):
            # The server's own words may repeat the key.
            setting = f": check {self._key_setting}" if self._key_setting else ""
            return EngineRefused(f"{self._name} answered {status}: it does not accept the key{setting}")
        if status == 402 or code == "insufficient_quota":
            return EngineRefused(f"{said}: the account has nothing left; pay, or choose another provider")
        if status in (429, 503) and "queue" in message.lower():
            return _Again(QueueFull(said), _retry_after_s(headers))
        if status in (408, 425, 429) or status >= 500:
            return _Again(EngineBusy(said), _retry_after_s(headers))
        if status in (400, 422):
            return BadRequest(said, message, parameter)
        if status == 404:
            return EngineRefused(f"{said}: check the model's name and the URL {self._url}")
        if status == 413:
            return EngineRefused(f"{said}: the prompt is too long for this server; shorten it")
        return EngineRefused(f"{said}: is {self._url} the API of a provider?")

    def _shown(self, message: str) -> str:
        return as_data(message.replace(self._key, "...") if self._key else message, MESSAGE_MAX)


def calls_max(allowed_ms: int) -> int:
    """How often a server may be asked at most within this time: each repeat is begun with time left for itself."""
    waited_s = accumulate(BACKOFF_S)
    return 1 + sum(waits_s + ATTEMPT_MIN_S < (allowed_ms or ALLOWED_MS) / 1000 for waits_s in waited_s)


def checked_url(url: str) -> str:
    """A server's URL without a slash at its end. Raises EngineRefused for what is no http URL, or holds a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise EngineRefused(
            "a server's URL begins with http:// or https:// and names a host, as http://127.0.0.1:8000/v1"
        )
    if parts.username or parts.password:
        raise EngineRefused(f"the URL of {parts.hostname} holds a password: give the key as a setting instead")
    return url.rstrip("/")


def may_carry_key(url: str) -> bool:
    """Whether a key may be sent there: over https, or without leaving this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def refuse_reserved(prompt: Prompt) -> None:
    """Raises EngineRefused for a prompt that holds a token by which chat formats tell who is speaking."""
    for turn in prompt.turns:
        for found in RESERVED.finditer(turn.content):
            # These two are our own marks of data, which no chat format knows.
            if found[0].lower() not in ("<data>", "</data>"):
                raise EngineRefused(
                    f"the prompt holds the reserved token {found[0]!r}: pass foreign text through as_data"
                )


def tokens(counts: Any, name: str, otherwise: int) -> int:
    """A count of tokens that a server reports, or `otherwise` where it reports nothing that can be one."""
    count = counts.get(name) if isinstance(counts, Mapping) else None
    return count if type(count) is int and 0 <= count <= TOKENS_MAX else otherwise


def _told(reply: Any) -> tuple[str, str, str]:
    """The message, the parameter and the code of an error, in any of the shapes that servers give it."""
    error = reply.get("error", reply) if isinstance(reply, Mapping) else reply
    if not isinstance(error, Mapping):
        return str(error), "", ""
    message = error.get("message") or error.get("detail") or ""
    return str(message), str(error.get("param") or ""), str(error.get("code") or error.get("type") or "")


def _pause_s(state: RetryCallState, jitter: random.Random) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.after_s if isinstance(error, _Again) else 0.0
    pause_s = BACKOFF_S[min(state.attempt_number, len(BACKOFF_S)) - 1]
    return max(pause_s, asked_s) * (1 + jitter.random() * JITTER_SHARE)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """How long the server asks us to wait: seconds, or a moment, which its own clock tells how far off it is."""
    asked = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", asked):
        return float(asked)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    except (TypeError, ValueError):
        return 0.0

"""Asking a server in JSON over HTTP: kept connections, repeats inside the deadline, and no trust in what comes back."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import accumulate
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay

from inference.bill import Call
from inference.engines.engine import ALLOWED_MS, EngineBusy, EngineRefused, EngineTimeout, PromptRefused
from inference.engines.failures import NO_STATUS, Again, BadRequest, Told, failure_of, retry_after_s
from inference.engines.lessons import Lessons, subject_of
from inference.engines.usage import usage_of
from inference.prompts import RESERVED, Prompt, as_data
from inference.thinking import written_tokens_max

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
# A kept connection that breaks this soon after a request was closed before the request came: a round trip to anywhere.
STALE_S = 0.5

Json = Mapping[str, Any]
Sleep = Callable[[float], Awaitable[None]]
#: A request's body, without these fields.
Body = Callable[[Prompt, frozenset[str]], Json]
#: The field to leave out after a refusal, besides those that are left out already; "" for none.
DoWithout = Callable[[BadRequest, frozenset[str]], str]


class _Stale(Exception):
    """A connection that was kept for the next request had just been closed by the server."""


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
        self.address = address_of(self._url)
        self._headers = dict(headers)
        self._key = key
        self._key_setting = key_setting
        self._sleep = sleep
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._lessons = Lessons()

    async def ask(self, path: str, prompt: Prompt, body: Body, do_without: DoWithout) -> tuple[Json, Call]:
        """The server's answer to a prompt, and the call that it came of, asked again while there is time.

        Where the server refuses a field, `do_without` names the one to leave out, or "". It is left out of this agent's
        requests for a while, unless that did not help, and of nobody else's. Cancelling closes the request.
        Raises EngineBusy and EngineRefused.
        """
        refuse_reserved(prompt)
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + (prompt.allowed_ms or ALLOWED_MS) / 1000
        subject = subject_of(prompt)
        left_out, learned = self._lessons.left_out(subject, now_s()), frozenset[str]()
        while True:
            try:
                done = await self._post(path, body(prompt, left_out | learned), until_s, prompt)
            except BadRequest as refused:
                field = do_without(refused, left_out | learned)
                if not field:
                    raise
                learned |= {field}
            except EngineRefused:
                raise
            except BaseException:
                # Time or money did not reach for a second call, as they may never do: the next one begins with it.
                self._lessons.learn(subject, learned, now_s())
                raise
            else:
                self._lessons.learn(subject, learned, now_s())
                return done

    async def close(self) -> None:
        """Close the connections; the next request opens others."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _post(self, path: str, body: Json, until_s: float, prompt: Prompt) -> tuple[Json, Call]:
        """The server's answer to a body, asked again while it is busy, until then and as far as the bill covers it."""
        payload = orjson.dumps(body)
        if len(payload) > REQUEST_MAX_BYTES:
            raise PromptRefused(f"the prompt takes {len(payload)} bytes, of at most {REQUEST_MAX_BYTES}: shorten it")
        allowed_s = until_s - asyncio.get_running_loop().time()
        jitter = random.Random(prompt.seed)
        attempts = AsyncRetrying(
            stop=stop_after_attempt(1 + len(BACKOFF_S)) | stop_before_delay(allowed_s - ATTEMPT_MIN_S),
            wait=lambda state: _pause_s(state, jitter),
            retry=retry_if_exception(lambda why: isinstance(why, Again) and prompt.bill.covers(self._model, prompt)),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            done: tuple[Json, Call] = await attempts(self._once, path, payload, until_s, prompt)
        except Again as again:
            raise again.error from again.__cause__
        return done

    async def _once(self, path: str, payload: bytes, until_s: float, prompt: Prompt) -> tuple[Json, Call]:
        with prompt.call(self._model) as call:
            try:
                status, headers, body = await self._sent(path, payload, until_s, call)
            except _Stale:
                # Nobody has read the request, so that it is no second call; another kept connection may be as stale.
                status, headers, body = await self._sent(path, payload, until_s, call, fresh=True)
            reply = _read_json(body)
            usage = usage_of(
                reply.get("usage") if isinstance(reply, dict) else None,
                prompt_max=prompt.tokens_max(),
                completion_max=written_tokens_max(self._model, prompt.max_tokens),
            )
            if usage is not None:
                call.counted(usage)
            if status == 200:
                return self._good(reply), call
            told = Told() if reply is _NO_JSON else Told.of(reply)
            # Where the model may have worked and the server gives no usage, the most is counted.
            if usage is None and status not in GIVEN_UP and not told.written:
                call.rejected()
            raise self._failure(status, told, retry_after_s(headers))

    async def _sent(
        self, path: str, payload: bytes, until_s: float, call: Call, *, fresh: bool = False
    ) -> tuple[int, Mapping[str, str], bytes]:
        """A server's reply. Raises _Stale where it was sent into a connection that the server had closed."""
        now_s = asyncio.get_running_loop().time
        begun_s = now_s()
        timeout = aiohttp.ClientTimeout(total=max(until_s - begun_s, 0.001), sock_connect=CONNECT_S)
        used = SimpleNamespace(before=False)
        try:
            # A server that sends us elsewhere would have the key sent there as well.
            async with self._opened(fresh).post(
                self._url + path, data=payload, timeout=timeout, allow_redirects=False, trace_request_ctx=used
            ) as response:
                return response.status, response.headers, await self._read(response)
        except aiohttp.ConnectionTimeoutError as error:
            call.unmade()
            raise Again(EngineBusy(f"{self._name} does not take the connection")) from error
        except TimeoutError as error:
            raise EngineTimeout(f"no answer from {self._name} in time") from error
        except (aiohttp.ClientError, OSError) as error:
            if used.before and _unread(error) and now_s() - begun_s < STALE_S:
                raise _Stale from error
            if isinstance(error, aiohttp.ClientConnectorError):
                call.unmade()
            raise Again(EngineBusy(f"{self._name} cannot be reached: {type(error).__name__}")) from error

    def _opened(self, fresh: bool) -> aiohttp.ClientSession:
        """The session whose connections are kept, or the one whose every request has a connection of its own."""
        session = self._sessions.get(fresh)
        if session is None:
            connector = (
                aiohttp.TCPConnector(limit=CONNECTIONS, force_close=True)
                if fresh
                else aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
            )
            session = self._sessions[fresh] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", **self._headers},
                trace_configs=[_reuse_noted()],
            )
        return session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > RESPONSE_MAX_BYTES:
                response.close()
                raise EngineBusy(f"{self._name} answered with more than {RESPONSE_MAX_BYTES} bytes")
        return bytes(body)

    def _good(self, reply: Any) -> Json:
        if reply is _NO_JSON:
            raise EngineBusy(f"{self._name} answered with something that is not JSON")
        if isinstance(reply, list) and len(reply) == 1 and isinstance(reply[0], dict) and reply[0].get("error"):
            reply = reply[0]
        if not isinstance(reply, dict):
            raise EngineBusy(f"{self._name} answered with JSON that is no object")
        if reply.get("error"):
            raise self._inside(Told.of(reply))
        return reply

    def _inside(self, told: Told) -> Exception:
        """The failure that an answer with status 200 tells of. It is not asked again: the answer may be paid for."""
        status = re.search(r"\b[45]\d\d\b", told.code)
        said = f"{self._name} answered with an error inside: {self._shown(told.message)}"
        failure = failure_of(int(status[0]) if status else NO_STATUS, told, said, 0.0, self._key_setting, self._url)
        return failure.error if isinstance(failure, Again) else failure

    def _failure(self, status: int, told: Told, after_s: float) -> Exception:
        said = f"{self._name} answered {status}: {self._shown(told.message)}".removesuffix(": ")
        return failure_of(status, told, said, after_s, self._key_setting, self._url)

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


def address_of(url: str) -> str:
    """A server's URL as one and the same for all ways to write it, by which the server is known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    place = host if parts.port in (None, usual) else f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def may_carry_key(url: str) -> bool:
    """Whether a key may be sent there: over https, or without leaving this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def refuse_reserved(prompt: Prompt) -> None:
    """Raises PromptRefused for a prompt that holds a token by which chat formats tell who is speaking."""
    for turn in prompt.turns:
        for found in RESERVED.finditer(turn.content):
            # These two are our own marks of data, which no chat format knows.
            if found[0].lower() not in ("<data>", "</data>"):
                raise PromptRefused(
                    f"the prompt holds the reserved token {found[0]!r}: pass foreign text through as_data"
                )


# Stands for a body that is no JSON; None stands for `null`.
_NO_JSON = object()


def _read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _NO_JSON


def _reuse_noted() -> aiohttp.TraceConfig:
    """Notes of each request whether it was sent into a connection that had been kept."""

    async def note(session: aiohttp.ClientSession, context: SimpleNamespace, told: Any) -> None:
        context.trace_request_ctx.before = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


def _unread(error: Exception) -> bool:
    """Whether a connection broke before anything came back."""
    return isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError) or (
        isinstance(error, aiohttp.ClientOSError) and not isinstance(error, aiohttp.ClientConnectorError)
    )


def _pause_s(state: RetryCallState, jitter: random.Random) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.after_s if isinstance(error, Again) else 0.0
    pause_s = BACKOFF_S[min(state.attempt_number, len(BACKOFF_S)) - 1]
    return max(pause_s, asked_s) * (1 + jitter.random() * JITTER_SHARE)

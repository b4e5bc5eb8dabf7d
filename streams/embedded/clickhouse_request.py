"""What a request to ClickHouse's HTTP interface asks for, read from its address and headers. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from urllib.parse import parse_qsl, urlsplit

from streams.embedded.clickhouse_engine import SESSION_TIMEOUT_S, Context, EngineError, error

USER = "default"
DEFAULT_FORMAT = "TabSeparated"
#: ClickHouse forgets a session after at most this long.
LONGEST_SESSION_S = 3600.0

#: Parameters of the interface itself. Whatever else a request names is a setting of its query.
_RESERVED = frozenset(
    (
        "query",
        "database",
        "user",
        "password",
        "quota_key",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "stacktrace",
        "buffer_size",
        "wait_end_of_query",
        "default_format",
        "client_protocol_version",
        "close_session",
        "compress",
        "decompress",
        "role",
        "add_http_cors_header",
        "http_write_exception_in_output_format",
    )
)
#: Parameters that change what is sent, and which this server does not do; a value of 0 asks for nothing.
_NOT_OFFERED = {
    "role": "the embedded engine has one user and no roles: leave role out",
    "close_session": "a session ends by itself after session_timeout: leave close_session out",
}
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

#: The statuses that ClickHouse's own server gives to its errors; every other one is 500.
_STATUS = {
    **dict.fromkeys((6, 26, 27, 32, 36, 38, 41, 53, 62, 69, 72, 117, 130, 131, 167, 168, 427, 457), 400),
    **dict.fromkeys((194,), 401),
    **dict.fromkeys((192, 193, 497, 516), 403),
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 63, 73, 81, 115, 372), 404),
    **dict.fromkeys((159,), 408),
    **dict.fromkeys((373,), 409),
    **dict.fromkeys((381,), 411),
    **dict.fromkeys((158,), 413),
    **dict.fromkeys((1, 48, 344), 501),
    **dict.fromkeys((202, 209, 439), 503),
}
_CONTENT_TYPES = {
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8",
    "json": "application/json; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "arrow": "application/octet-stream",
    "parquet": "application/octet-stream",
    "protobuf": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A query as it was asked for, before its text is read from the body."""

    query: str
    context: Context
    default_format: str
    query_id: str
    #: A request by GET may only read.
    only_reads: bool
    #: Nothing is sent before the query has ended.
    whole_answer_first: bool
    #: Whether the answer goes out, and the body comes in, in ClickHouse's own packed blocks.
    answer_in_blocks: bool = False
    body_in_blocks: bool = False
    #: What the client reads of the format Native.
    revision: int = 0


def parse(method: str, target: str, headers: Message, fields: Mapping[str, str] | None = None) -> Request:
    """Read a request; `fields` are those of a form in its body. Raises EngineError for what is refused."""
    given = {**dict(parse_qsl(urlsplit(target).query, keep_blank_values=True)), **(fields or {})}
    _authenticate(given, headers)
    for name, sentence in _NOT_OFFERED.items():
        if _flag(given, name):
            raise not_offered(sentence)
    context = Context(
        database=given.get("database", "") or headers.get("X-ClickHouse-Database", ""),
        settings={n: v for n, v in given.items() if n not in _RESERVED and not n.startswith("param_")},
        parameters={n.removeprefix("param_"): v for n, v in given.items() if n.startswith("param_")},
        session=given.get("session_id", ""),
        session_timeout_s=min(_number(given, "session_timeout", SESSION_TIMEOUT_S), LONGEST_SESSION_S),
        session_must_exist=given.get("session_check", "0") == "1",
    )
    return Request(
        query=given.get("query", ""),
        context=context,
        default_format=given.get("default_format", "") or headers.get("X-ClickHouse-Format", "") or DEFAULT_FORMAT,
        query_id=given.get("query_id", ""),
        only_reads=method == "GET",
        whole_answer_first=_flag(given, "wait_end_of_query"),
        answer_in_blocks=_flag(given, "compress"),
        body_in_blocks=_flag(given, "decompress"),
        revision=int(_number(given, "client_protocol_version", 0)),
    )


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form sent as multipart/form-data; raises EngineError for files, which are external tables."""
    form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, str] = {}
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise not_offered(f"external data ({name}) is not offered: insert it into a table of its own first")
        content = part.get_payload(decode=True)
        fields[str(name)] = content.decode() if isinstance(content, bytes) else ""
    return fields


def foreign_page(headers: Message) -> str | None:
    """The web page that a browser sent the request for, where that page is not of this machine.

    Any page a developer visits can send requests to his loopback ports; without a password this is what stops them.
    """
    origin = headers.get("Origin")
    if origin is None or urlsplit(origin).hostname in _LOOPBACK_NAMES:
        return None
    return str(origin)


def not_offered(sentence: str) -> EngineError:
    """An error for what the real server does and this one does not."""
    return error(48, sentence, "NOT_IMPLEMENTED")


def status_of(raised: EngineError) -> int:
    """The HTTP status that ClickHouse gives to an error."""
    return _STATUS.get(raised.code, 500)


def content_type(answer_format: str) -> str:
    """The Content-Type of an answer in a format."""
    name = answer_format.lower()
    family = next((known for known in _CONTENT_TYPES if name.startswith(known)), "")
    return _CONTENT_TYPES.get(family, "text/plain; charset=UTF-8")


def _authenticate(given: Mapping[str, str], headers: Message) -> None:
    """The embedded server has the user that a fresh ClickHouse has: `default`, without a password, for this machine."""
    user = headers.get("X-ClickHouse-User") or given.get("user") or USER
    password = headers.get("X-ClickHouse-Key") or given.get("password") or ""
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = ""
    elif scheme:
        raise not_offered(f"authentication by {scheme} is not offered: use the user {USER} without a password")
    if user != USER or password:
        sentence = f"{user}: Authentication failed: the embedded server has one user, {USER}, without a password"
        raise error(516, sentence, "AUTHENTICATION_FAILED")


def _flag(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "0").lower() not in ("0", "", "false")


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(given.get(name, default))
    except ValueError:
        raise error(36, f"{name} is not a number", "BAD_ARGUMENTS") from None

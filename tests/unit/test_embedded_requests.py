"""Requests to the embedded ClickHouse are read as ClickHouse reads them."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import zlib
from email.message import Message

import cramjam
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.embedded import http_body
from streams.embedded.clickhouse_engine import EngineError
from streams.embedded.clickhouse_request import (
    content_type,
    foreign_page,
    form_fields,
    parse,
    status_of,
)
from streams.embedded.http_body import Body, BodyRefused, pieces
from streams.embedded.http_packing import unpacked


def headers(**named: str) -> Message:
    message = Message()
    for name, value in named.items():
        message[name.replace("_", "-")] = value
    return message


def body(data: bytes, **named: str) -> Body:
    return Body(io.BytesIO(data), headers(**named))  # type: ignore[arg-type]


def test_what_is_not_of_the_interface_is_a_setting_of_the_query() -> None:
    target = "/?query=SELECT+1&database=d&query_id=q&wait_end_of_query=1&max_threads=2&param_x=%27a%27&session_id=s"
    request = parse("POST", target, headers())
    assert (request.query, request.query_id, request.whole_answer_first) == ("SELECT 1", "q", True)
    assert request.context.database == "d"
    assert request.context.session == "s"
    assert request.context.settings == {"max_threads": "2"}
    assert request.context.parameters == {"x": "'a'"}
    assert request.default_format == "TabSeparated"


def test_blocks_and_a_revision_are_asked_for_in_the_address() -> None:
    asked = parse("POST", "/?compress=1&decompress=true&client_protocol_version=54460", headers())
    assert (asked.answer_in_blocks, asked.body_in_blocks, asked.revision) == (True, True, 54460)
    plain = parse("POST", "/?compress=0&decompress=false", headers())
    assert (plain.answer_in_blocks, plain.body_in_blocks, plain.revision) == (False, False, 0)


def test_a_get_only_reads_and_a_post_may_write() -> None:
    assert parse("GET", "/?query=x", headers()).only_reads
    assert not parse("POST", "/?query=x", headers()).only_reads


def test_headers_stand_in_for_parameters() -> None:
    request = parse(
        "GET", "/", headers(X_ClickHouse_Database="d", X_ClickHouse_Format="JSON", X_ClickHouse_User="default")
    )
    assert (request.context.database, request.default_format) == ("d", "JSON")


@pytest.mark.parametrize("credentials", ["default:", "default"])
def test_the_default_user_without_a_password_may_enter(credentials: str) -> None:
    packed = base64.b64encode(credentials.encode()).decode()
    assert parse("GET", "/", headers(Authorization=f"Basic {packed}"))


@pytest.mark.parametrize(
    ("target", "given", "code"),
    [
        ("/?user=bob", {}, 516),
        ("/?password=x", {}, 516),
        ("/", {"X_ClickHouse_Key": "x"}, 516),
        ("/", {"Authorization": "Basic ***"}, 516),
        ("/", {"Authorization": "Bearer token"}, 48),
        ("/?role=r", {}, 48),
        ("/?session_timeout=soon", {}, 36),
    ],
)
def test_what_is_refused_has_its_number(target: str, given: dict[str, str], code: int) -> None:
    with pytest.raises(EngineError) as refused:
        parse("GET", target, headers(**given))
    assert refused.value.code == code
    assert status_of(refused.value) in (400, 403, 501)


def test_a_session_lasts_an_hour_at_most() -> None:
    assert parse("GET", "/?session_timeout=99999", headers()).context.session_timeout_s == 3600


@pytest.mark.parametrize(
    ("origin", "foreign"),
    [
        (None, False),
        ("http://localhost:6066", False),
        ("http://127.0.0.1", False),
        ("http://[::1]:80", False),
        ("https://evil.example", True),
        ("http://localhost.evil.example", True),
        ("null", True),
    ],
)
def test_only_pages_of_this_machine_may_ask(origin: str | None, foreign: bool) -> None:
    assert bool(foreign_page(headers(Origin=origin) if origin else headers())) is foreign


def test_fields_of_a_form_are_parameters_and_files_are_refused() -> None:
    kind = "multipart/form-data; boundary=b"
    form = b'--b\r\nContent-Disposition: form-data; name="param_x"\r\n\r\n1\xc3\xa9\r\n--b--\r\n'
    assert form_fields(kind, form) == {"param_x": "1é"}
    file = b'--b\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--b--\r\n'
    with pytest.raises(EngineError, match="external data"):
        form_fields(kind, file)


def test_a_format_has_its_content_type() -> None:
    assert content_type("JSONEachRow").startswith("application/json")
    assert content_type("TabSeparatedWithNames").startswith("text/tab-separated-values")
    assert content_type("Native") == "application/octet-stream"
    assert content_type("Pretty").startswith("text/plain")


@given(st.binary(max_size=500), st.integers(1, 100))
def test_a_body_of_known_length_ends_where_it_ends(data: bytes, size: int) -> None:
    framed = body(data + b"GET / HTTP/1.1", Content_Length=str(len(data)))
    read = b"".join(iter(lambda: framed.read(size), b""))
    assert (read, framed.finished) == (data, True)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 60))
def test_a_body_in_chunks_is_put_together(chunks: list[bytes], size: int) -> None:
    framed = b"".join(b"%x;note\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\nrest"
    connection = io.BytesIO(framed)
    chunked = Body(connection, headers(Transfer_Encoding="chunked"))  # type: ignore[arg-type]
    assert b"".join(iter(lambda: chunked.read(size), b"")) == b"".join(chunks)
    assert (chunked.finished, connection.read()) == (True, b"rest")


PACKINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "bz2": bz2.compress,
    "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    "br": lambda data: bytes(pa.compress(data, "brotli", asbytes=True)),
    "identity": bytes,
    "": bytes,
}
PACKED = [name for name in PACKINGS if name not in ("identity", "")]


def unpack(packed: bytes, encoding: str) -> bytes:
    return b"".join(pieces(unpacked(body(packed, Content_Length=str(len(packed))), encoding)))


@pytest.mark.parametrize("encoding", PACKINGS)
@given(members=st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_a_body_packed_in_several_members_is_read_to_its_end(encoding: str, members: list[bytes]) -> None:
    assert unpack(b"".join(map(PACKINGS[encoding], members)), encoding) == b"".join(members)


@pytest.mark.parametrize("encoding", PACKED)
@given(members=st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=3), cut=st.integers(1, 400))
def test_a_packed_body_that_is_cut_off_anywhere_is_refused_or_whole(
    encoding: str, members: list[bytes], cut: int
) -> None:
    packed = [PACKINGS[encoding](member) for member in members]
    # Cut between two members, it is what another client might have sent whole.
    last = packed.pop()
    with pytest.raises(BodyRefused) as refused:
        unpack(b"".join(packed) + last[: max(1, len(last) - cut)][: len(last) - 1], encoding)
    assert refused.value.status == 400


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("rubbish", [b"rubbish", b"x", b"\x1f\x8b", b"\0\0\0x", b"1,2\n" * 100_000])
def test_rubbish_behind_a_packed_body_is_refused(encoding: str, rubbish: bytes) -> None:
    with pytest.raises(BodyRefused) as refused:
        unpack(PACKINGS[encoding](b"data" * 1000) + rubbish, encoding)
    assert refused.value.status == 400


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("packed", [b"", b"nonsense"])
def test_a_body_that_was_never_packed_is_refused(encoding: str, packed: bytes) -> None:
    with pytest.raises(BodyRefused) as refused:
        unpack(packed, encoding)
    assert refused.value.status == 400


def test_zeros_behind_gzips_members_are_padding_as_gzip_itself_takes_them() -> None:
    member = gzip.compress(b"data")
    assert unpack(member + bytes(500) + member + bytes(200_000), "gzip") == b"datadata"


@pytest.mark.parametrize("encoding", PACKINGS)
@given(data=st.data())
def test_a_body_whose_chunks_are_cut_off_is_refused_packed_or_not(encoding: str, data: st.DataObject) -> None:
    packed = PACKINGS[encoding](b"data" * 100)
    framed = b"".join(
        b"%x\r\n%b\r\n" % (len(packed[i : i + 16]), packed[i : i + 16]) for i in range(0, len(packed), 16)
    )
    cut = data.draw(st.integers(0, len(framed) - 1))
    with pytest.raises(BodyRefused):
        b"".join(pieces(unpacked(body(framed[:cut], Transfer_Encoding="chunked"), encoding)))


@pytest.mark.parametrize(
    "framed",
    [
        b"-5\r\nhello",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"0",
        b"0\r\n" + b"a: b\r\n" * 1000,
    ],
)
def test_chunks_that_are_not_as_long_as_they_say_are_refused(framed: bytes) -> None:
    broken = body(framed, Transfer_Encoding="chunked")
    with pytest.raises(BodyRefused):
        broken.read()
    assert not broken.finished


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"Transfer_Encoding": "gzip, chunked"}, 501),
        ({"Transfer_Encoding": "chunked", "Content_Length": "3"}, 400),
        ({"Content_Length": "²"}, 400),
        ({"Content_Length": "-1"}, 400),
        ({"Content_Length": "3, 4"}, 400),
        ({"Content_Length": ""}, 400),
    ],
)
def test_a_body_whose_end_cannot_be_told_is_refused(named: dict[str, str], status: int) -> None:
    with pytest.raises(BodyRefused) as refused:
        body(b"abc", **named)
    assert refused.value.status == status


def test_an_unknown_packing_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BodyRefused, match="gzip") as refused:
        unpacked(body(b""), "snappy-framed")
    assert refused.value.status == 501


def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one() -> None:
    with pytest.raises(BodyRefused, match="ended before"):
        body(b"abc", Content_Length="4").read()
    with pytest.raises(BodyRefused, match="framed"):
        body(b"zz\r\n", Transfer_Encoding="chunked").read()


def test_a_body_whose_next_piece_does_not_come_is_refused_and_read_no_further() -> None:
    class Stalled(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError

    stalled = Body(Stalled(), headers(Content_Length="4"))  # type: ignore[arg-type]
    with pytest.raises(BodyRefused) as refused:
        stalled.read()
    assert (refused.value.status, stalled.broken, stalled.finished) == (408, True, False)


def test_a_body_beyond_the_limit_is_refused_packed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "BODY_LIMIT_BYTES", 1000)
    with pytest.raises(BodyRefused) as at_once:
        body(b"", Content_Length="1001")
    with pytest.raises(BodyRefused) as in_chunks:
        body(b"3e9\r\n" + b"x" * 1001, Transfer_Encoding="chunked").read()
    packed = gzip.compress(b"x" * 1001)
    with pytest.raises(BodyRefused) as unpacking:
        b"".join(pieces(unpacked(body(packed, Content_Length=str(len(packed))), "gzip")))
    assert [raised.value.status for raised in (at_once, in_chunks, unpacking)] == [413] * 3

"""ClickHouse's Native format as the Go client and others of a newer revision read it (`client_protocol_version`).

The engine writes the oldest revision. From 54454 on a block begins with facts about itself, and each column says after
its type that it is written the ordinary way. To put that in, one has to know where each column ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.embedded.clickhouse_engine import error

#: The first revision whose columns say how they are written. Clients of older ones find out what a server sends.
REVISION = 54454

#: No overflow of a GROUP BY, no bucket of one.
_BLOCK_FACTS = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_ORDINARY = b"\x00"

_SIZES = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "DateTime32", "Time", "IPv4", "Decimal32"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Time64", "Decimal64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
#: Digits up to which a decimal takes so many bytes.
_DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))
_QUOTES = "'`\""


def renewed(blocks: bytes) -> bytes:
    """Whole blocks of the oldest revision, as of `REVISION`. Raises EngineError for types whose end cannot be found."""
    reader = _Reader(blocks)
    parts: list[bytes] = []
    while reader.at < len(blocks):
        parts += (_BLOCK_FACTS, *_renewed_block(reader))
    return b"".join(parts)


def _renewed_block(reader: _Reader) -> Iterator[bytes]:
    start = reader.at
    columns, rows = reader.number(), reader.number()
    for _ in range(columns):
        reader.text()
        kind = reader.text().decode()
        yield reader.data[start : reader.at] + _ORDINARY
        start = reader.at
        if rows:
            reader.skip_prefix(kind)
            reader.skip(kind, rows)
    yield reader.data[start : reader.at]


class _Reader:
    """Goes through blocks, column by column."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        """A number of variable length."""
        number = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def text(self) -> bytes:
        """Some bytes behind their length."""
        length = self.number()
        self.at += length
        return self.data[self.at - length : self.at]

    def skip_prefix(self, kind: str) -> None:
        """Go past what stands before all of a column's data."""
        name, inner = _parsed(kind)
        if name == "LowCardinality":
            self.at += 8
        elif name not in ("Enum8", "Enum16"):
            for part in _nested(name, inner):
                self.skip_prefix(part)

    def skip(self, kind: str, rows: int) -> None:
        """Go past a column's data."""
        name, inner = _parsed(kind)
        size = _size(name, inner)
        if size:
            self.at += size * rows
        elif name == "String":
            self._skip_strings(rows)
        elif name == "LowCardinality":
            self._skip_dictionaries(inner[0], rows)
        else:
            self._skip_nested(kind, name, inner, rows)

    def _skip_strings(self, rows: int) -> None:
        data, at = self.data, self.at
        for _ in range(rows):
            length = data[at]
            if length < 0x80:
                at += 1 + length
            else:
                self.at = at
                self.text()
                at = self.at
        self.at = at

    def _skip_nested(self, kind: str, name: str, inner: list[str], rows: int) -> None:
        nested = _nested(name, inner)
        if name in ("Array", "Map", "Nested"):
            self.at += 8 * rows
            rows = int.from_bytes(self.data[self.at - 8 : self.at], "little") if rows else 0
        elif name == "Nullable" or (name == "Tuple" and not inner):
            self.at += rows
        elif not nested:
            sentence = f"a column of type {kind} cannot be sent in Native to this client: select it with toString()"
            raise error(48, sentence, "NOT_IMPLEMENTED")
        for part in nested:
            self.skip(part, rows)

    def _skip_dictionaries(self, kind: str, rows: int) -> None:
        keys = kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind
        while rows > 0:
            index_bytes = 1 << self._fixed() % 256
            self.skip(keys, self._fixed())
            indexed = self._fixed()
            self.at += index_bytes * indexed
            rows -= indexed or rows

    def _fixed(self) -> int:
        self.at += 8
        return int.from_bytes(self.data[self.at - 8 : self.at], "little")


def _size(name: str, inner: list[str]) -> int:
    """The bytes of a value, where each takes the same; else 0."""
    if name == "FixedString":
        return int(inner[0])
    if name == "Decimal":
        return next(size for digits, size in _DECIMALS if int(inner[0]) <= digits)
    return 8 if name.startswith("Interval") else _SIZES.get(name, 0)


def _nested(name: str, inner: list[str]) -> list[str]:
    """The types that a type is made of, in the order in which they are written."""
    if name in ("Tuple", "Nested"):
        return [_unnamed(part) for part in inner]
    if name == "SimpleAggregateFunction":
        return inner[1:]
    return inner if name in ("Array", "Map", "Nullable") else []


def _parsed(kind: str) -> tuple[str, list[str]]:
    """A type's name and what stands in its brackets."""
    kind = _ALIASES.get(kind, kind)
    name, opened, inner = kind.partition("(")
    return name, _split(inner[:-1], ",") if opened else []


def _unnamed(part: str) -> str:
    """The type of an element that may have a name in front."""
    return _split(part, " ")[-1]


def _split(text: str, at: str) -> list[str]:
    """Split where the sign stands outside brackets and quotes."""
    parts, start, depth, quote, i = [], 0, 0, "", 0
    while i < len(text):
        sign = text[i]
        if quote:
            i += sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign == at and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
        depth += 0 if quote else (sign == "(") - (sign == ")")
        i += 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]

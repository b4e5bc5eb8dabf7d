"""The C parts on hostile bytes, built with sanitizers: what lies beside them is neither read nor written."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.unpacking import by_columns
from tests.unit.test_unpacking import Sent, whole

DRIVER = Path(__file__).parent.parent / "native" / "driver.c"
SANITIZED = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
HEADER_BYTES = 61
MUTATIONS = 30_000


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    built = tmp_path_factory.mktemp("native") / "driver"
    made = subprocess.run([compiler, *SANITIZED, "-o", built, DRIVER], capture_output=True, text=True)
    if made.returncode and ("asan" in made.stderr or "ubsan" in made.stderr):
        pytest.skip("this C compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    return built


def ran(driver: Path, cases: list[bytes]) -> list[str]:
    """What the driver says of each case; a sanitizer that finds something ends it."""
    found = subprocess.run([driver], input=b"".join(cases), capture_output=True)
    assert found.returncode == 0, found.stderr.decode(errors="replace")[-4000:]
    said = found.stdout.decode().splitlines()
    assert len(said) == len(cases)
    return said


def case(
    data: bytes, records: int, base: int = 0, high: int = 1 << 31, time: int = 0, fixed: bool = False, low: int = 0
) -> bytes:
    return struct.pack("<7q", len(data), records, base, high, time, fixed, low) + data


def payloads(chance: random.Random) -> Iterator[tuple[bytes, int]]:
    """The records of batches of all kinds, and how many they are."""
    while True:
        texts = [chance.choice([None, b"", chance.randbytes(chance.randint(1, 200))]) for _ in range(16)]
        records = list(zip(texts[::2], texts[1::2], strict=True))[: chance.randint(1, 8)]
        headers = [("name", b"value"), ("", None)][: chance.randint(0, 2)]
        yield Sent(records, headers=headers).written(0)[HEADER_BYTES:], len(records)


def mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 2)):
        place = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0 | 4 | 5:
                changed[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            case 1:
                # As long a number as there is.
                changed[place : place + 10] = b"\xff" * chance.randint(1, 9) + bytes([chance.choice([0, 1, 0x7F])])
            case 2:
                del changed[place + 1 :]
            case _:
                changed[place:place] = chance.randbytes(chance.randint(1, 4))
    return bytes(changed)


def test_mutated_batches_touch_nothing_beside_them(driver: Path) -> None:
    chance = random.Random(20_261_128)
    cases = []
    for (data, records), _ in zip(payloads(chance), range(MUTATIONS), strict=False):
        low, fixed = chance.choice([0, 0, 3]), chance.random() < 0.5
        high, time = chance.choice([8, 1 << 31]), chance.choice([0, 1 << 62])
        cases.append(case(mutated(chance, data), records + chance.choice([0] * 8 + [1, -1]), 0, high, time, fixed, low))
    said = ran(driver, cases)
    # The mutations are neither all seen through nor all harmless.
    assert MUTATIONS // 20 < said.count("no") < MUTATIONS - MUTATIONS // 20


def test_whole_batches_are_measured_as_python_measures_them(driver: Path) -> None:
    chance = random.Random(7)
    cases, expected = [], []
    for _, (data, records) in zip(range(200), payloads(chance), strict=False):
        cases.append(case(data, records))
        raw = Sent([(None, None)]).written(0)[:HEADER_BYTES] + data
        raw = raw[:8] + struct.pack(">i", len(raw) - 12) + raw[12:23] + struct.pack(">i", records - 1) + raw[27:57]
        raw += struct.pack(">i", records) + data
        found = whole(raw, check_crcs=False, unpack=by_columns)
        sizes = [sum(len(each or b"") for each in column.to_pylist()) for column in (found.keys, found.values)]
        expected.append(" ".join(map(str, [len(found), *sizes])))
    assert ran(driver, cases) == expected


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80" * 20, b"\xff" * 9 + b"\x01", b"\x02\x00", b"\x01"])
def test_short_and_endless_numbers_are_refused(driver: Path, data: bytes) -> None:
    assert ran(driver, [case(data, 1), case(data, 1 << 62)]) == ["no", "no"]

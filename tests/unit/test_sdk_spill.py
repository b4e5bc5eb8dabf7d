"""The spill: what is put on disk comes back as it was, in order, through crashes, damage and full disks."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.sdk import SpillInUse, SpillUnreadable, spill
from streams.sdk.outbox import Batch
from streams.sdk.spill import MAGIC, Spill, decode, encode

BATCHES = st.lists(
    st.builds(
        Batch,
        st.sampled_from(["players.actions.v1", "world.facts.v1", "zoë"]),
        st.integers(0, 2**32 - 1),
        st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), min_size=1, max_size=5),
    ),
    max_size=8,
)


def batch(number: int, events: int = 3) -> Batch:
    return Batch("players.actions.v1", number % 4, [(b"hero", b"%d-%d" % (number, n)) for n in range(events)])


def drain(spilled: Spill) -> list[Batch]:
    drained = []
    while (first := spilled.peek()) is not None:
        drained.append(first)
        spilled.advance()
        spilled.release()
    return drained


def reopened(folder: Path) -> list[Batch]:
    spilled = Spill(folder)
    try:
        return drain(spilled)
    finally:
        spilled.close()


@contextmanager
def filled(folder: Path, batches: list[Batch]) -> Iterator[Spill]:
    spilled = Spill(folder)
    for each in batches:
        spilled.append(each)
    yield spilled
    spilled.close()


@given(BATCHES)
def test_a_batch_survives_encoding(batches: list[Batch]) -> None:
    assert [decode(encode(each)[8:]) for each in batches] == batches


@given(BATCHES, st.integers(0, 8))
def test_what_went_in_comes_out_in_order_here_or_in_the_next_life(batches: list[Batch], taken: int) -> None:
    with TemporaryDirectory() as name:
        with filled(Path(name), batches) as spilled:
            assert spilled.events == sum(len(each.events) for each in batches)
            for expected in batches[:taken]:
                assert spilled.peek() == expected
                spilled.advance()
        assert reopened(Path(name)) == batches
        assert list(Path(name).glob("*.spill")) == []


@settings(max_examples=60)
@given(BATCHES.filter(bool), st.data())
def test_a_torn_tail_is_cut_and_every_whole_record_before_it_kept(batches: list[Batch], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with filled(folder, batches):
            pass
        (file,) = folder.glob("*.spill")
        whole = file.read_bytes()
        at = data.draw(st.integers(0, len(whole)))
        junk = data.draw(st.sampled_from([b"", bytes(40), b"\xff" * 40]))
        file.write_bytes(whole[:at] + junk)
        ends = [len(MAGIC) + sum(len(encode(each)) for each in batches[: n + 1]) for n in range(len(batches))]
        if junk and at < len(MAGIC) and any(whole[:at] + junk):
            with pytest.raises(SpillUnreadable):
                Spill(folder)
            return
        kept = batches[: sum(end <= at for end in ends)]
        with filled(folder, [batch(7)]) as spilled:
            assert spilled.events == sum(len(each.events) for each in kept) + 3
        assert reopened(folder) == [*kept, batch(7)]


def test_what_is_under_way_is_given_again_after_a_rewind_and_what_is_released_is_not(tmp_path: Path) -> None:
    with filled(tmp_path, [batch(n) for n in range(6)]) as spilled:
        for _ in range(4):
            spilled.peek()
            spilled.advance()
        spilled.release()
        spilled.rewind()
        assert spilled.events == 15
        spilled.append(batch(6))
        assert drain(spilled) == [batch(n) for n in range(1, 7)]
        assert (spilled.events, spilled.bytes) == (0, 0)


def test_a_segment_goes_when_all_of_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "SEGMENT_BYTES", 200)
    batches = [batch(n) for n in range(12)]
    with filled(tmp_path, batches) as spilled:
        files = sorted(tmp_path.glob("*.spill"))
        assert len(files) > 3
        assert spilled.bytes == sum(file.stat().st_size for file in files)
        seen = []
        while files[1].exists():
            first = spilled.peek()
            assert first is not None
            seen.append(first)
            spilled.advance()
            spilled.release()
        assert not files[0].exists()
        assert spilled.bytes == sum(file.stat().st_size for file in tmp_path.glob("*.spill"))
        assert seen + drain(spilled) == batches
    assert list(tmp_path.glob("*.spill")) == []


def test_after_a_crash_in_a_replay_no_more_than_the_first_segment_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "SEGMENT_BYTES", 200)
    batches = [batch(n) for n in range(12)]
    with filled(tmp_path, batches) as spilled:
        for _ in range(8):
            spilled.peek()
            spilled.advance()
            spilled.release()
    left = reopened(tmp_path)
    assert left == batches[-len(left) :]
    assert 4 <= len(left) <= 4 + 3


def test_damage_in_the_middle_is_kept_aside_and_the_rest_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spill, "SEGMENT_BYTES", 200)
    batches = [batch(n) for n in range(9)]
    with filled(tmp_path, batches):
        pass
    first = min(tmp_path.glob("*.spill"))
    damaged = bytearray(first.read_bytes())
    damaged[-1] ^= 1
    first.write_bytes(damaged)
    whole = reopened(tmp_path)
    assert len(whole) == 8
    assert [each for each in batches if each in whole] == whole
    assert first.with_suffix(".damaged").read_bytes() == damaged
    assert "is damaged at byte" in caplog.text


def test_a_folder_has_one_producer_at_a_time(tmp_path: Path) -> None:
    with filled(tmp_path, []), pytest.raises(SpillInUse, match=r"process \d+: give each producer a folder of its own"):
        Spill(tmp_path)
    Spill(tmp_path).close()


def test_another_versions_file_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "000000000001.spill"
    foreign.write_bytes(b"NORNSPL9 something else")
    with pytest.raises(SpillUnreadable, match="another version of Norn"):
        Spill(tmp_path)
    assert foreign.read_bytes() == b"NORNSPL9 something else"
    foreign.unlink()
    Spill(tmp_path).close()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    with filled(tmp_path, [batch(0), batch(1)]) as spilled:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (spilled.bytes + 50, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                spilled.append(batch(2, events=100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert spilled.events == 6
        spilled.append(batch(3))
    assert reopened(tmp_path) == [batch(0), batch(1), batch(3)]

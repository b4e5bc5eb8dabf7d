"""The generated code is what the .proto files say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.generate import GENERATED, generate, main


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*.py*") if "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_generated_code_is_in_step(tmp_path: Path) -> None:
    generate(tmp_path)
    fresh, kept = contents(tmp_path), contents(GENERATED)
    different = sorted(name for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name))
    assert not different, f"run `make gen`: {different}"


def test_generating_says_nothing_and_needs_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    command = [sys.executable, "schemas/generate.py", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/nowhere"}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert contents(folder) == contents(GENERATED)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "precious.txt"
    kept.write_text("mine")
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "is not empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [kept]

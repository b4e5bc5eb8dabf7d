"""Who may import whom: import-linter's contracts hold, and each of them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")

#: The fewest modules that every contract can be checked on.
SKELETON = (
    "schemas/__init__.py",
    "projections/__init__.py",
    "projections/catalog/__init__.py",
    "projections/catalog/players.py",
    "inference/__init__.py",
    "inference/agents/__init__.py",
    "inference/agents/chronicler.py",
    "streams/__init__.py",
    "streams/bridge/__init__.py",
    "streams/bridge/client.py",
    "streams/sdk.py",
    "streams/policies/__init__.py",
    "streams/policies/guard.py",
)

#: A module, what is planted in it, and the contract that must break.
PLANTED = [
    ("schemas/__init__.py", "import projections", "The shell knows the core"),
    ("schemas/__init__.py", "from streams import sdk", "The shell knows the core"),
    ("projections/__init__.py", "import inference", "The shell knows the core"),
    ("inference/__init__.py", "from projections import catalog", "The shell knows the core"),
    ("projections/catalog/players.py", "import time", "Leaves are pure"),
    ("inference/agents/chronicler.py", "import random", "Leaves are pure"),
    ("streams/policies/guard.py", "import asyncpg", "Leaves are pure"),
    ("streams/sdk.py", "import projections", "What a game server imports"),
    ("streams/sdk.py", "import faust", "What a game server imports"),
    ("streams/bridge/client.py", "import inference", "What a game server imports"),
    ("streams/bridge/client.py", "import aiohttp", "What a game server imports"),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-logo", "--no-cache", "--config", str(folder / "pyproject.toml")]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=120, check=False
    )


def skeleton(folder: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in SKELETON:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('"""Nothing yet."""\n')
    return folder


def test_norn_keeps_its_arrows() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_empty_house_keeps_its_arrows(tmp_path: Path) -> None:
    done = lint(skeleton(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(("module", "line", "contract"), PLANTED)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, module: str, line: str, contract: str) -> None:
    (skeleton(tmp_path) / module).write_text(f"{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    assert len(broken) == 1, done.stdout
    assert broken[0].startswith(contract)

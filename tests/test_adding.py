"""docs/adding.md, followed to the letter in a copy of Norn: a fact, a projection, an agent and a policy are added.

What it shows is written where it says, each table gets its one line, and the tests that hold every leaf are run there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "projections", "inference", "streams")
COPIED = (*PACKAGES, "tests", "docs", "examples", "benchmarks", "README.md", "pyproject.toml")
#: The folder of each kind of leaf, its table, and what becomes of that.
TABLES = {
    "A projection": (
        "projections/catalog",
        "projections",
        "S = (players,",
        "S = (players, {name},",
    ),
    "An AI agent": ("inference/agents", "inference/agents", "\n    faction,\n", "\n    faction,\n    {name},\n"),
    "A policy": ("streams/policies", "streams/policies", "for policy in (budget,", "for policy in (budget, {name},"),
}
#: The tests that are told of no leaf, and need no server.
TOLD_OF_NONE = (
    *(f"tests/schemas/test_{part}.py" for part in ("event", "topics", "evolution", "avro")),
    "tests/projections/test_declarations.py",
    *(f"tests/unit/test_{part}.py" for part in ("bridge_offers", "policies_budget")),
    "tests/inference/test_agents.py",
    "tests/test_tidy.py",
)


def shown(part: str, language: str) -> list[str]:
    """The blocks of a language in a part of the page, without the margin of the list that they stand in."""
    page = (ROOT / "docs" / "adding.md").read_text()
    text = page.split(f"\n## {part}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{margin}", "", block, flags=re.MULTILINE) for margin, block in found]


def replaced(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text, f"{file} has no {before!r}"
    file.write_text(text.replace(before, after, 1))


def run(command: Sequence[str], folder: Path) -> None:
    found = {"PATH": str(Path(sys.executable).parent), "HOME": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=found,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]


def add_the_fact(copy: Path) -> None:
    message, field = shown("A fact", "proto")
    [(name, fact)] = re.findall(r"^(\w+) (\w+) = \d+;", field)
    proto, init = copy / "schemas" / "proto" / "norn" / "v1", copy / "schemas" / "__init__.py"
    with (proto / "players.proto").open("a") as players:
        players.write(f"\n{message}")
    for file in ("event.proto", "bridge.proto"):
        replaced(proto / file, "    FlagSet flag_set = 27;\n", f"    FlagSet flag_set = 27;\n    {field.strip()}\n")
    run(["schemas/generate.py"], copy)
    replaced(init, "players_pb2 import (\n", f"players_pb2 import (\n    {name},\n")
    replaced(init, '    "FlagSet",\n', f'    "FlagSet",\n    "{name}",\n')
    replaced(copy / "schemas" / "topics.py", '"flag_set",\n', f'"flag_set", "{fact}",\n')


def add_a_leaf(copy: Path, part: str) -> None:
    folder, table, before, after = TABLES[part]
    block, *_ = shown(part, "python")
    [name] = re.findall(r"^(\w+) = (?:Projection|Agent|Policy)\(", block, re.MULTILINE)
    (copy / folder / f"{name}.py").write_text(block)
    house, package = copy / table / "__init__.py", folder.replace("/", ".")
    replaced(house, f"from {package}.", f"from {package}.{name} import {name}\nfrom {package}.")
    replaced(house, before, after.format(name=name))


@pytest.mark.timeout(600)
def test_what_the_guide_shows_can_be_added_by_it_alone(tmp_path: Path) -> None:
    for each in COPIED:
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, tmp_path / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / each, tmp_path)
    add_the_fact(tmp_path)
    for part in TABLES:
        add_a_leaf(tmp_path, part)
    run(["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TOLD_OF_NONE], tmp_path)

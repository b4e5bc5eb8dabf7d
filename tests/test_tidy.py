"""Rules of the house that no linter has: sizes, unfinished work, sleeping tests, tables, settings in the docs."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.config import Settings

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "projections", "inference", "streams", "examples")

#: What a reader can keep in mind at once; past it, something is two things.
FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 70

# Written in two halves, so that this file does not find itself.
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")

#: A leaf's folder, and the tables of which it must stand in one.
TABLES = {
    "projections/catalog": ("projections", ("PROJECTIONS", "VIEWS")),
    "inference/agents": ("inference.agents", ("AGENTS",)),
    "streams/policies": ("streams.policies", ("POLICIES",)),
}


def python_files(*folders: str) -> list[Path]:
    files = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    return [file for file in files if "gen" not in file.relative_to(ROOT).parts]


def by_path(file: Path) -> str:
    return str(file.relative_to(ROOT))


def long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines"


def unfinished(source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), start=1):
        yield from (f"line {number} has {word}" for word in UNFINISHED if word in line)


def sleeps_outside_loops(source: str) -> Iterator[str]:
    """Sleeping once is hoping that it was long enough; a loop that asks again may sleep between two questions."""

    def visit(node: ast.AST, in_loop: bool) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            in_loop = False
        elif isinstance(node, ast.While | ast.For | ast.AsyncFor):
            in_loop = True
        elif isinstance(node, ast.Call) and not in_loop:
            callee = ast.unparse(node.func)
            # asyncio.sleep(0) waits for nothing: it lets the others run.
            gives_way = [ast.unparse(argument) for argument in node.args] == ["0"]
            if callee in {"time.sleep", "asyncio.sleep", "sleep"} and not gives_way:
                yield f"line {node.lineno} sleeps once: ask in a loop, as tests/waiting.py does"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, in_loop)

    return visit(ast.parse(source), False)


def leaves() -> list[str]:
    return [f"{folder}/{file.stem}" for folder in TABLES for file in python_files(folder) if file.stem != "__init__"]


def names_in(table: object) -> set[str]:
    """The names a table knows, whether it is keyed by name or lists things that have one."""
    if isinstance(table, dict):
        return set(table)
    assert isinstance(table, tuple | list), f"a table is a mapping or a sequence, not {type(table).__name__}"
    return {entry.name for entry in table}


@pytest.mark.parametrize("file", python_files(*PACKAGES), ids=by_path)
def test_a_file_can_be_kept_in_mind(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("file", python_files(*PACKAGES), ids=by_path)
def test_a_function_fits_on_a_screen(file: Path) -> None:
    assert list(long_functions(file.read_text())) == []


@pytest.mark.parametrize("file", python_files(*PACKAGES, "benchmarks", "tests"), ids=by_path)
def test_nothing_is_left_for_later(file: Path) -> None:
    assert list(unfinished(file.read_text())) == []


@pytest.mark.parametrize("file", python_files("tests"), ids=by_path)
def test_a_test_waits_on_a_condition(file: Path) -> None:
    assert list(sleeps_outside_loops(file.read_text())) == []


@pytest.mark.parametrize("leaf", leaves())
def test_a_leaf_stands_in_its_table_under_its_files_name(leaf: str) -> None:
    folder, name = leaf.rsplit("/", 1)
    module, tables = TABLES[folder]
    house = importlib.import_module(module)
    known = set[str]().union(*(names_in(getattr(house, table)) for table in tables))
    assert name in known, f"add {name} to {' or '.join(tables)} in {module}"


@pytest.mark.parametrize("setting", sorted(Settings.model_fields))
def test_the_docs_tell_of_every_setting(setting: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    name = f"NORN_{setting.upper()}"
    assert any(name in page.read_text() for page in pages if page.exists()), f"{name} stands in no page"


def test_the_rules_find_what_they_forbid() -> None:
    long = "def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
    assert list(long_functions(long)) == [f"long has {FUNCTION_LINES_MAX + 1} lines"]
    assert list(unfinished(f"x = 1  # {UNFINISHED[0]}: more\nraise {UNFINISHED[2]}")) == [
        f"line 1 has {UNFINISHED[0]}",
        f"line 2 has {UNFINISHED[2]}",
    ]
    assert len(list(sleeps_outside_loops("import time\ntime.sleep(1)"))) == 1
    assert len(list(sleeps_outside_loops("while True:\n    def f():\n        asyncio.sleep(2)"))) == 1


def test_the_rules_let_pass_what_they_allow() -> None:
    assert list(long_functions("def short():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1))) == []
    assert list(sleeps_outside_loops("while not ready():\n    time.sleep(0.01)")) == []
    assert list(sleeps_outside_loops("async def f():\n    await asyncio.sleep(0)")) == []


def test_the_rules_have_something_to_look_at() -> None:
    assert len(python_files(*PACKAGES)) > 50
    assert len(leaves()) > 5

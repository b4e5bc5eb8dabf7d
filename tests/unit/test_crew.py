"""The crew: one worker of every role that there is, in the groups that the reconciliation counts."""

from __future__ import annotations

from streams import groups, roles
from streams.crew import FOREMOST, ROLES


def test_the_crew_has_a_worker_of_every_role() -> None:
    assert set(ROLES) == set(roles.ROLES)
    assert FOREMOST in ROLES


def test_every_role_is_in_a_group_that_is_waited_for() -> None:
    assert {f"norn-{role}" for role in roles.ROLES} == {groups.FOLD, groups.HISTORY, *groups.ANSWERING}

"""Policies: facts in, facts out. Pure leaves; streams/processors/policy.py runs them."""

from collections.abc import Mapping

from streams.policies.arcs import arcs
from streams.policies.broadcasts import broadcasts
from streams.policies.budget import budget
from streams.policies.schedules import schedules
from streams.policies.world_versions import world_versions
from streams.policy import Policy

#: Every policy. To add one: a file in this folder, and its name here.
POLICIES: Mapping[str, Policy] = {
    policy.name: policy for policy in (budget, world_versions, schedules, arcs, broadcasts)
}

__all__ = ["POLICIES"]

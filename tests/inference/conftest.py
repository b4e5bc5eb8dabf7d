"""The provider of models that the engines' tests ask: one for each file, well again for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.chaos.faults import Plan
from streams.chaos.provider import Provider as Chaos
from streams.chaos.provider import started


@pytest.fixture(scope="module")
def provider() -> Iterator[Chaos]:
    with started() as provider:
        yield provider


@pytest.fixture
def chaos(provider: Chaos) -> Chaos:
    """The provider, well again."""
    provider.plan, provider.key, provider.retry_after_s = Plan(), "", Chaos.retry_after_s
    provider.asked.clear()
    provider.served.clear()
    return provider

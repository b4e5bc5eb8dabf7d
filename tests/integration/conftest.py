"""What tests against real servers share."""

from __future__ import annotations

import asyncpg
import pytest

from projections.postgres import migrate


@pytest.fixture
async def migrated(postgres: str) -> str:
    """A database of the test's own that has every table; gives its URL."""
    connection = await asyncpg.connect(postgres)
    await migrate(connection)
    await connection.close()
    return postgres

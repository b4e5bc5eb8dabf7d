"""Numbered migrations: files of SQL that are applied once, in order, and never change afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from projections.errors import SchemaRefused

_NAME = re.compile(r"\d{4}_[a-z0-9_]+")


@dataclass(frozen=True)
class Migration:
    """A file of SQL by its name, NNNN_verb_noun."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What tells whether the file is still the one that was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(store: str) -> tuple[Migration, ...]:
    """The migrations of "postgres" or "clickhouse", in order."""
    found = [path for path in files("projections").joinpath("sql", store).iterdir() if path.name.endswith(".sql")]
    named = [Migration(path.name.removesuffix(".sql"), path.read_text()) for path in found]
    for migration in named:
        if not _NAME.fullmatch(migration.name):
            raise SchemaRefused(f"sql/{store}/{migration.name}.sql: name migrations NNNN_verb_noun.sql")
    return tuple(sorted(named, key=lambda migration: migration.name))


def pending(all_of_them: tuple[Migration, ...], applied: Mapping[str, str]) -> tuple[Migration, ...]:
    """Those not applied yet, given the checksum of each that is. Raises SchemaRefused when one has changed since."""
    for migration in all_of_them:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise SchemaRefused(
                f"{migration.name} has changed since it was applied: put the file back and write a new migration"
            )
    return tuple(migration for migration in all_of_them if migration.name not in applied)

"""Indexes: for those who look rows of a declared table up by something else than its key.

A numbered migration could not make one, since the tables are made of the declarations after the last of them. Each is a
file of SQL of its name, and is made once: one that is to be another gets another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Index:
    """An index by its name, and the table that it is of."""

    name: str
    table: str

    def sql(self) -> str:
        """The statement that makes it."""
        return files("projections").joinpath("sql", "postgres", "indexes", f"{self.name}.sql").read_text()


INDEXES = (
    # The bridge lists what is to be done, oldest first, and what has ended with nothing to do.
    Index("actions_pending", "actions_by_region"),
    Index("actions_ended", "actions_by_region"),
)

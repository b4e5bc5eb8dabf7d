"""The shell's SQL, one statement a file in streams/sql."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str) -> str:
    """The text of streams/sql/NAME.sql."""
    return files("streams").joinpath("sql", f"{name}.sql").read_text()

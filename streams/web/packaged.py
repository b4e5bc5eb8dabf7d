"""The web view's pages, styles, scripts and SQL, shipped beside its code."""

from __future__ import annotations

from importlib.resources import files


def packaged(path: str) -> str:
    """The text of a file under streams/web."""
    return files("streams.web").joinpath(*path.split("/")).read_text()

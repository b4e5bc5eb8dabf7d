"""What has been taken up before: the last few ids, so that what the log repeats has one effect. Pure."""

from __future__ import annotations

from collections.abc import Sequence

#: A repeat follows soon after a restart of whoever wrote it; some hours of decisions lie between at most.
SEEN_MAX = 500


def seen(before: Sequence[str], name: str) -> Sequence[str] | None:
    """The ids with one more, or None when it is there already."""
    return None if name in before else [*before, name][-SEEN_MAX:]

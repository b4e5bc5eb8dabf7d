"""Which servers the tests talk to, and how they are had."""

from __future__ import annotations

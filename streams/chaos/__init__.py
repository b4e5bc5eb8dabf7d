"""Chaos: the things around Norn that fail on purpose, so that its tests can show what it does then."""

"""The web view: what operators see of a running system."""

from streams.web.views import attach

__all__ = ["attach"]

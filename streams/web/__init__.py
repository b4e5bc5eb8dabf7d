"""The web view: what operators see of a running system."""

from streams.web.views import attach, serve_on

__all__ = ["attach", "serve_on"]

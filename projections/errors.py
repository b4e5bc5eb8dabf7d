"""What can go wrong with a projection.

PermanentError
├── DeclarationRefused    a projection is declared in a way that cannot be folded; the message says what to change
├── Unfoldable            an event that no projection may hold: a number too large, a text that no database takes
├── DotUnknown            an event so late that nobody can tell whether it has been had
├── SchemaRefused         a database's tables are not what the declarations need, and no migration leads there
└── RightsExceeded        a region may not spend or give away what it has no rights to
"""

from __future__ import annotations

from schemas import PermanentError


class DeclarationRefused(PermanentError):
    """A projection that cannot be what it is declared to be."""

    reason = "declaration_refused"


class Unfoldable(PermanentError):
    """An event whose values cannot be folded into tables."""

    reason = "fold_failed"


class DotUnknown(PermanentError):
    """An event whose number lies where it can no longer be told what has been had."""

    reason = "dot_unknown"


class SchemaRefused(PermanentError):
    """Tables that a forward-only migration cannot turn into the declared ones."""

    reason = "schema_refused"


class RightsExceeded(PermanentError):
    """More than the rights a region holds."""

    reason = "rights_exceeded"

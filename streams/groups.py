"""The consumer groups that the roles' workers form."""

from __future__ import annotations

#: Those that write a store; both take up every topic.
FOLD, HISTORY = "norn-fold", "norn-history"

#: Those that answer events with events; they take up what calls for an answer.
DECIDE, INFER, POLICY = "norn-decide", "norn-infer", "norn-policy"
ANSWERING = (DECIDE, INFER, POLICY)

"""What the bridge is asked and answers in JSON. The OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.requests import DECISION_ID_PATTERN

#: Pages of actions are short: a game server does them one after the other.
ACTIONS_DEFAULT, ACTIONS_MAX = 50, 100
SUBJECTS_MAX = 100
DECISIONS_MAX = 100
#: How a decision ends: with an action to do, or with none.
ENDS = frozenset({"effective", "closed"})
#: What a column of Postgres holds.
STAMP_MAX = 2**63 - 1

DecisionId = Annotated[str, Field(pattern=DECISION_ID_PATTERN, description="The decision's id.")]
Outcome = Literal["succeeded", "refused", "failed"]
# Postgres cannot store a NUL, so no text of ours may hold one.
_NO_NUL = r"^[^\x00]*$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Refused(_Model):
    """An event that may not be written, ever: sending it again is useless."""

    index: int = Field(description="Its place in the batch, from 0.")
    sequence: int = Field(description="Its sequence; 0 when none could be read.")
    reason: str = Field(
        description="malformed, unnumbered, unknown_fact, too_large or invalid_event; of a request for a decision also"
        " unknown_agent, illegal_actions, context_too_large or deadline_passed."
    )
    detail: str


class Asked(_Model):
    """A decision that was asked for, now or before."""

    sequence: int
    decision_id: str = Field(description="Under this id the answer comes with the actions.")


class Dispatched(_Model):
    """What became of a batch. Every event is in exactly one of accepted, repeated, refused and deferred."""

    accepted: int = Field(description="Events that are on the log now.")
    repeated: int = Field(description="Events that were on the log before: an earlier answer was lost.")
    refused: list[Refused]
    asked: list[Asked] = Field(description="Which of the accepted and the repeated ask for which decision.")
    deferred: list[int] = Field(description="Sequences of players over their limit: send them again later.")
    retry_after_s: float = Field(description="When to send the deferred ones again; 0 when there are none.")
    expected: int = Field(description="The lowest sequence of this client that has not come yet.")


class Called(_Model):
    """The event that called for a decision: a game server's own fact or request."""

    event_id: str = Field(description="Its id on the log, as 32 hexadecimal digits.")
    client: str | None = Field(None, description="Which client dispatched it; null when it came by another way.")
    sequence: int | None = Field(None, description="Under which sequence.")


class Action(_Model):
    """A decision in effect that no game server has completed."""

    decision_id: str
    subject: str = Field(description="The player or place it is about.")
    agent: str
    action: str
    content: str = Field(description="The agent's output, a JSON object as text.")
    about: str = Field(description="Those parts of the agent's context needed to act, a JSON object as text.")
    impact: str
    time_ms: int = Field(description="When it took effect, milliseconds since 1970.")
    called_by: Called | None = Field(None, description="What called for it; null when the log does not say.")


class Actions(_Model):
    """A page of actions, oldest first."""

    actions: list[Action]
    next: str | None = Field(description="What `after` to ask for the next page with; null when this is the last.")


class Ended(_Model):
    """A decision that came to its end, and nothing is to be done: whoever asked waits in vain."""

    decision_id: str
    subject: str = Field(description="The player or place it is about.")
    agent: str
    reason: str = Field(description="Why nothing took effect.")
    time_ms: int = Field(description="When it ended, milliseconds since 1970.")
    called_by: Called | None = Field(None, description="What called for it; null when the log does not say.")


class Ends(_Model):
    """A page of ends without an effect, oldest first; each is listed until it is completed, as an action is."""

    ended: list[Ended]
    next: str | None = Field(description="What `after` to ask for the next page with; null when this is the last.")


class ActionsQuery(_Model):
    """Which actions to list."""

    limit: int = Field(ACTIONS_DEFAULT, ge=1, le=ACTIONS_MAX, description="How many at most.")
    subjects: list[Annotated[str, Field(min_length=1, max_length=256, pattern=_NO_NUL)]] | None = Field(
        None, max_length=SUBJECTS_MAX, description="Only actions about these players or places."
    )
    after: str | None = Field(
        None,
        max_length=300,
        pattern=r"^[0-9]{1,19}\.[^\x00]*$",
        description="The `next` of an earlier page.",
    )
    since_ms: int = Field(
        0,
        ge=0,
        le=STAMP_MAX >> 16,
        description="Only actions that took effect since, milliseconds since 1970.",
    )


class DecisionsQuery(_Model):
    """Which decisions to tell of."""

    decision_ids: list[DecisionId] = Field(
        min_length=1, max_length=DECISIONS_MAX, description="The ids in `asked`, or your own."
    )


class Decision(_Model):
    """How far a decision has come."""

    decision_id: str
    subject: str = Field(description="The player or place it is about.")
    agent: str
    status: str = Field(
        description="requested, proposed, waiting (for a person), rejected (what was proposed), expired, closed"
        " (nothing takes effect) or effective (an action says what to do)."
    )
    reason: str = Field(description="Why what was proposed, or the request, came to nothing; empty when it did not.")
    ended: bool = Field(description="Whether nothing more comes of it.")


class Decisions(_Model):
    """Those of the decisions that are known; one that was asked for a moment ago may not be yet."""

    decisions: list[Decision]


class Completion(_Model):
    """What a game server made of an action."""

    decision_id: DecisionId
    outcome: Outcome = Field(description="refused is by the game's own rules; failed is by mishap.")
    detail: str = Field("", max_length=2000, pattern=_NO_NUL)
    server: str = Field("", max_length=128, pattern=_NO_NUL, description="The game server's name.")


class Completed(_Model):
    """The first that was said of the action; what is said later changes nothing."""

    decision_id: str
    outcome: str = Field(description="succeeded, refused or failed.")
    detail: str
    server: str
    repeated: bool = Field(description="Whether it had been completed before.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str = Field(description="The error's name, for programs.")

"""The first of safety's checks: what a model wrote is believed only when it has the form that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inference.agent import Agent, Answer, Content, Context
from inference.prompts import RESERVED
from inference.wrapping import bare

# An event holds at most 10 KB, of which the envelope and the other fields need little.
CONTENT_MAX_BYTES = 8_000


@dataclass(frozen=True)
class Refused:
    """Why an answer is not believed: a reason that metrics can count, and what a person needs to know."""

    reason: str
    detail: str


def validate(text: str, agent: Agent, context: Context, legal_actions: Sequence[str]) -> Answer | Refused:
    """Believe an answer of a model's: it has the agent's shape, its action is legal, and it fits the context."""
    written = _read(bare(text), agent.written)
    if isinstance(written, Refused):
        return written
    action = _action(written, legal_actions)
    if action not in legal_actions:
        return illegal(action, legal_actions)
    answer = Answer(action, written) if agent.chosen is None else agent.chosen(context, action)
    return _unfit(answer, agent, context) or answer


def misfit(answer: Answer, agent: Agent, context: Context, legal_actions: Sequence[str]) -> Refused | None:
    """Why an answer that was believed elsewhere is not believed here; None when it is."""
    content = read(answer.json(), agent)
    if isinstance(content, Refused):
        return content
    if answer.action not in legal_actions:
        return illegal(answer.action, legal_actions)
    if _action(content, legal_actions) != answer.action:
        return Refused("unfit", "its action is not that of its content")
    return _unfit(answer, agent, context)


def read(text: str, agent: Agent) -> Content | Refused:
    """Read the agent's output from text that anybody may have written."""
    return _read(text, agent.output)


def _read(text: str, shape: type[Content]) -> Content | Refused:
    size_bytes = len(text.encode(errors="replace"))
    if size_bytes > CONTENT_MAX_BYTES:
        return Refused("too_long", f"{size_bytes} bytes, of at most {CONTENT_MAX_BYTES}")
    try:
        content = shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Refused("malformed", f"{place}: {first['msg']}" if place else first["msg"])
    return _text_fault(content.model_dump(mode="json")) or content


def texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(name)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def illegal(action: str, legal_actions: Sequence[str]) -> Refused:
    """The refusal of an action that was not offered."""
    return Refused("illegal_action", f"{action[:40]!r} is none of: {', '.join(legal_actions)}")


def _text_fault(value: Any) -> Refused | None:
    """The first text inside a JSON value that may not be shown to a player, or None."""
    for text in texts(value):
        if RESERVED.search(text):
            return Refused("reserved_token", "a token by which chat formats tell who is speaking")
        if not text.isprintable():
            return Refused("unprintable", "a character that cannot be printed, such as a line break")
    return None


def _unfit(answer: Answer, agent: Agent, context: Context) -> Refused | None:
    complaint = agent.check(context, answer)
    return Refused("unfit", complaint) if complaint else None


def _action(content: Content, legal_actions: Sequence[str]) -> str:
    chosen = getattr(content, "action", None)
    if chosen is None and len(legal_actions) == 1:
        return legal_actions[0]
    return str(chosen or "")

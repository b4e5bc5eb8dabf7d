"""Safety: what an answer says, checked before governance sees it (spec I-15), whoever gave it.

The checks of form (schema, legal action, length, reserved tokens) are in validation.py and come first. Each check is a
pure function of some text; none asks a model, so that all of them together take well under a millisecond for a line,
and some ten for the longest content that may be (8 KB).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from inference.agent import Answer
from inference.attempt import Question
from inference.content_filter import offence
from inference.disguises import seen
from inference.personal import personal_data
from inference.prompts import Prompt
from inference.validation import Refused

# So many words in a row of what the model was told are a leak, not a coincidence: prompts say ordinary things.
LEAKED_WORDS = 7
# Each agent has one; agents whose instructions hold a part of the context have more.
INSTRUCTIONS_MAX = 256
_WORD = re.compile(r"[a-z0-9']+")


def unsafe(question: Question, answer: Answer) -> Refused | None:
    """Why an answer may not be shown or done; None when it may."""
    for text in _texts(answer.content.model_dump(mode="json")):
        kind = personal_data(text)
        if kind:
            return Refused("personal_data", f"it holds {kind}")
        category = offence(text)
        if category:
            return Refused("content", f"the filter takes it for {category}")
        if _leaks(question, text):
            return Refused("prompt_leak", f"{LEAKED_WORDS} words in a row of the instructions")
    return None


def _leaks(question: Question, text: str) -> bool:
    said = _WORD.findall(seen(text))
    if len(said) < LEAKED_WORDS:
        return False
    prompt = question.prompt()
    if not isinstance(prompt, Prompt):
        return False
    told = _words_of(" ".join(turn.content for turn in prompt.turns if turn.role == "system"))
    runs = (said[start : start + LEAKED_WORDS] for start in range(len(said) - LEAKED_WORDS + 1))
    return any(f" {' '.join(run)} " in told for run in runs)


@lru_cache(maxsize=INSTRUCTIONS_MAX)
def _words_of(instructions: str) -> str:
    return f" {' '.join(_WORD.findall(seen(instructions)))} "


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)

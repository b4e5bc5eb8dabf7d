"""Safety: what an answer says, checked before governance sees it (spec I-15), whoever gave it.

The checks of form (schema, legal action, length, reserved tokens) are in validation.py and come first. Each check is a
pure function of some text. None but the last asks a model, so that together they take well under a millisecond for a
line, and some ten for the longest content that may be (8 KB).

What a model wrote is judged by its meaning too: 5 ms a sentence of processor time on the loop, as much as a lookup in
the cache, for the one to three sentences that an answer has; what code wrote need not pay for it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from inference.agent import Answer
from inference.attempt import Question
from inference.content_filter import offence
from inference.disguises import seen
from inference.meaning import Meaning
from inference.personal import personal_data
from inference.prompts import Prompt
from inference.validation import Refused, texts

# So many words in a row of what the model was told are a leak, not a coincidence: prompts say ordinary things.
LEAKED_WORDS = 7
# Each agent has one; agents whose instructions hold a part of the context have more.
INSTRUCTIONS_MAX = 256
_WORD = re.compile(r"[a-z0-9']+")


def unsafe(
    question: Question, answer: Answer, *, written: bool = False, meaning: Meaning | None = None
) -> Refused | None:
    """Why an answer may not be shown or done; None when it may. `written`: a model chose its words, or its action."""
    # Where a model chooses only an action, code wrote the words.
    judge = meaning if written and question.agent.chosen is None else None
    for text in texts(answer.content.model_dump(mode="json")):
        kind = personal_data(text)
        if kind:
            return Refused("personal_data", f"it holds {kind}")
        refused = _offends(text, judge)
        if refused is not None:
            return refused
        if _leaks(question, text):
            return Refused("prompt_leak", f"{LEAKED_WORDS} words in a row of the instructions")
    return None


def _offends(text: str, meaning: Meaning | None) -> Refused | None:
    """The filter's two stages; the refusal tells which of them found it."""
    category = offence(text)
    if category:
        return Refused("content", f"the filter takes it for {category}, by its words")
    found = meaning.offence(text) if meaning is not None else None
    if found is not None:
        return Refused("content", f"the filter takes it for {found.category}, by its meaning ({found.score:.1f})")
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

"""The wrapping of an answer, taken off: thoughts, a Markdown fence, the token that ends a turn."""

from __future__ import annotations

import re

# Some servers leave out where thoughts begin, so all up to an end of them is thoughts.
_BEGUN = re.compile(r"\s*(?:\{|```)")
_THOUGHTS_END = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]", re.IGNORECASE)
_FENCE = "```"
# The word after a fence that names the language.
_LANGUAGE = re.compile(r"[A-Za-z0-9_-]{0,16}")
_TURN_END = re.compile(r"<\|[^|<>]{0,40}\|>|</s>|<end_of_turn>")
# As long as such a token can be, and as many as some servers leave at the end.
_TURN_END_MAX = 44
_TURN_ENDS_MAX = 3


def bare(text: str) -> str:
    """The answer itself, in time that grows with the text alone. It is judged like one that came without wrapping."""
    text = text.lstrip("\ufeff").strip()
    if not text.startswith("{"):
        text = _unfenced(_thought_out(text))
    for _ in range(_TURN_ENDS_MAX):
        ends = [
            found for found in _TURN_END.finditer(text, max(0, len(text) - _TURN_END_MAX)) if found.end() == len(text)
        ]
        text = text[: ends[-1].start()].rstrip() if ends else text
    return text


def _thought_out(text: str) -> str:
    """The text after the thoughts: after the first end of them that an answer follows, else after the last."""
    ends = [found.end() for found in _THOUGHTS_END.finditer(text)]
    end = next((end for end in ends if _BEGUN.match(text, end)), ends[-1] if ends else 0)
    return text[end:].strip()


def _unfenced(text: str) -> str:
    """The content of the one fenced block, with a word before or after it; of several any could be meant."""
    before, *blocks = text.split(_FENCE)
    if len(blocks) not in (1, 2) or "{" in before or "{" in "".join(blocks[1:]):
        return text
    language = _LANGUAGE.match(blocks[0])
    return blocks[0][language.end() if language else 0 :].strip()

"""Models that think before they answer: how that is turned off or kept short, and what room it then takes.

Providers count thoughts as written tokens, so that a limit of 24 tokens ends the answer before it begins. They are paid
for like an answer's, so the room is reserved with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What "low" effort stays within: Google gives it 1,024 tokens, and others take less for a choice among a few actions.
SHORT_TOKENS = 1_024
# A model that cannot be told to be short goes on for about as long as this over a question of some hundred tokens.
LONG_TOKENS = 8_192


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """The fields that make a model think little, and the room for the thoughts that it has all the same.

    more: fields of the request. temperature: whether it takes one other than its own.
    """

    room_tokens: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)
    temperature: bool = True


NONE = Thinking()
_LONG = Thinking(room_tokens=LONG_TOKENS)
_OFF_BY_TEMPLATE = Thinking(more={"chat_template_kwargs": {"enable_thinking": False}})
_LOW = {"reasoning_effort": "low"}

#: Models by the beginning of their names, without the folder or the provider before a slash; the first that fits holds.
THINKERS: Sequence[tuple[str, Thinking]] = (
    # Google (ai.google.dev, "OpenAI compatibility"): Flash can do without, Pro cannot.
    (r"gemini-2\.5-flash", Thinking(more={"reasoning_effort": "none"})),
    (r"gemini-(2\.5-pro|[3-9])", Thinking(room_tokens=SHORT_TOKENS, more=_LOW)),
    # OpenAI (platform.openai.com, "Reasoning models"): since 5.1 they can do without, and then take a temperature.
    (r"gpt-5.*-chat", NONE),
    (r"gpt-5\.[1-9](?!.*-(pro|codex))", Thinking(more={"reasoning_effort": "none"})),
    (
        r"gpt-5(-mini|-nano)?(-\d|$)",
        Thinking(room_tokens=SHORT_TOKENS, more={"reasoning_effort": "minimal"}, temperature=False),
    ),
    (r"o1-(mini|preview)", Thinking(room_tokens=LONG_TOKENS, temperature=False)),
    (r"gpt-5|o[1-9]", Thinking(room_tokens=SHORT_TOKENS, more=_LOW, temperature=False)),
    (r"gpt-oss", Thinking(room_tokens=SHORT_TOKENS, more=_LOW)),
    # xAI (docs.x.ai, "Reasoning"): only grok-3-mini can be told how much.
    (r"grok.*-non-reasoning", NONE),
    (r"grok-3-mini", Thinking(room_tokens=SHORT_TOKENS, more=_LOW)),
    (r"grok-([4-9]|code)", _LONG),
    # Open weights: their chat template decides, which servers such as vLLM pass on.
    (r"qwen3.*-(instruct|coder)|qwen3-(instruct|coder)", NONE),
    (r"qwen3.*thinking", _LONG),
    (r"qwen3|glm-4\.[5-9]|deepseek-v3\.[1-9]", _OFF_BY_TEMPLATE),
    (r"deepseek-(reasoner|r\d)|qwq|magistral|exaone-deep|minimax-m\d|nemotron.*reasoning|phi-4.*reasoning", _LONG),
    (r".*(-thinking|-reasoner|-reasoning)\b", _LONG),
)


def thinking_of(model: str) -> Thinking:
    """How a model thinks, by the name that it is known under; most do not."""
    name = model.rpartition("/")[2].lower()
    return next((how for beginning, how in THINKERS if re.match(beginning, name)), NONE)


def written_tokens_max(model: str, answer_tokens: int) -> int:
    """The most tokens that a model may write for an answer of so many: its thoughts as well."""
    return answer_tokens + thinking_of(model).room_tokens

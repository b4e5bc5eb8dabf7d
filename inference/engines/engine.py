"""Engine: whatever turns a prompt into text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from inference.prompts import Prompt
from schemas import PermanentError, TemporaryError

#: Spec C.1: how long a model may take where the caller does not say how long it will wait.
ALLOWED_MS = 5_000


class EngineBusy(TemporaryError):
    """The engine cannot answer now; the same prompt may be answered later."""

    reason = "engine_busy"


class QueueFull(EngineBusy):
    """The engine works as it should and takes no more for now, which is no failure of its own."""

    reason = "queue_full"


class EngineTimeout(EngineBusy):
    """The engine did not answer within the time it was given."""

    reason = "timeout"


class EngineRefused(PermanentError):
    """The engine will never answer this prompt, or cannot be used at all."""

    reason = "engine_refused"


class PromptRefused(EngineRefused):
    """This prompt will not be answered, because of its content or of the answer that it led to; others may be.

    It is too long for the model's context, the provider's filter withheld the answer, or the model does not take the
    schema. The engine itself works.
    """

    reason = "prompt_refused"


@dataclass(frozen=True)
class Completion:
    """What an engine wrote, and what that took of its time.

    finish_reason: "stop" when the text is whole, "length" when it ran into the prompt's max_tokens and broke off.
    engine, model: who really answered, where that is another than the engine that was asked; else empty.
    confidence: how likely the model held the action that it chose, 0 to 1; None where it does not say.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    duration_ms: int
    finish_reason: Literal["stop", "length"]
    engine: str = ""
    model: str = ""
    confidence: float | None = None


class Engine(Protocol):
    """An engine, known by its name and by the name its model is priced under.

    `slots` is how many prompts it works on at once: callers keep the rest back, where they can still be put in order
    and dropped when their time is up.
    """

    @property
    def name(self) -> str:
        """The engine's name in decisions."""

    @property
    def model(self) -> str:
        """The model's name in decisions, costs and the price table."""

    @property
    def slots(self) -> int:
        """How many prompts may be in work at once."""

    async def start(self) -> None:
        """Make ready to answer; calling it is optional, and again is harmless. Raises EngineRefused."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt. Cancelling the call aborts the work. Raises EngineBusy and EngineRefused.

        Every call of the model is noted with `prompt.call`: what is not noted is not paid for. Raises TooDear where the
        prompt's bill does not cover it.
        """

    async def close(self) -> None:
        """Abort what is in work and give back what the engine holds; it may be started again."""


def models_of(engine: Engine) -> tuple[str, ...]:
    """The models that may answer, each of which needs a price: an engine that asks others lists theirs."""
    models: tuple[str, ...] = getattr(engine, "models", (engine.model,))
    return models


def links_of(engine: Engine) -> tuple[tuple[str, str], ...]:
    """The engines that are asked one after another: the label of each, and the model that it is priced by."""
    links: tuple[tuple[str, str], ...] = getattr(engine, "links", ((f"{engine.name}:{engine.model}", engine.model),))
    return links


def service_of(engine: Engine) -> str:
    """The unit that fails as a whole: a server, by its address, or an engine in this process, by its name."""
    service: str = getattr(engine, "service", engine.name)
    return service


def calls_of(engine: Engine, allowed_ms: int) -> tuple[str, ...]:
    """The model of each call that one answer may take at most: an engine that repeats, or asks others, says so."""
    calls: Callable[[int], tuple[str, ...]] | None = getattr(engine, "calls", None)
    return (engine.model,) if calls is None else calls(allowed_ms)

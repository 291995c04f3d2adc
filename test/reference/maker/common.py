"""Where the fixtures lie, how they are written, and what makes a run repeatable."""

import json
import os
import platform
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures"


def prepare() -> None:
    """One thread, deterministic kernels, no network, quiet libraries."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float32)


def write_json(path: str, value: Any) -> None:
    """Write a fixture; a list of numbers stays on one line, so that diffs can be read."""
    file = FIXTURES / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_format(value, 0) + "\n")


def _format(value: Any, depth: int) -> str:
    nested = isinstance(value, (dict, list)) and any(isinstance(child, (dict, list)) for child in _children(value))
    if not nested and not (isinstance(value, dict) and len(value) > 6):
        return json.dumps(value, allow_nan=False)
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, dict):
        rows = [f"{pad}{json.dumps(key)}: {_format(child, depth + 1)}" for key, child in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{end}}}"
    return "[\n" + ",\n".join(pad + _format(child, depth + 1) for child in value) + f"\n{end}]"


def _children(value: dict | list) -> list:
    return list(value.values()) if isinstance(value, dict) else value


def write_tensors(path: str, tensors: dict) -> None:
    """Write float32 tensors as safetensors."""
    import torch
    from safetensors.torch import save_file

    file = FIXTURES / path
    file.parent.mkdir(parents=True, exist_ok=True)
    # The clone drops shared storage (tied weights, views), which safetensors refuses.
    save_file({name: tensor.detach().to(torch.float32).contiguous().clone() for name, tensor in tensors.items()}, file)


def write_versions() -> None:
    import accelerate
    import bitsandbytes
    import numpy
    import peft
    import safetensors
    import torch
    import transformers

    write_json(
        "versions.json",
        {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
            "safetensors": safetensors.__version__,
            "numpy": numpy.__version__,
            "peft": peft.__version__,
            "bitsandbytes": bitsandbytes.__version__,
        },
    )

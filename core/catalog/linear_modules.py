"""The linear modules inside a model's layers, by the names in its weights' headers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.catalog import folder as files
from core.catalog.model_info import ModelInfo
from core.catalog.safetensors_header import DamagedHeader, Tensor, read_header

_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True)
class LinearModules:
    """Paths as in the files, such as "model.layers.0.self_attn.q_proj"."""

    paths: tuple[str, ...]
    routed_experts: bool
    """Whether there are routed experts; transformers 5 fuses them into one tensor a layer."""


def linear_modules(model: ModelInfo) -> LinearModules | None:
    """What the headers tell, or None where they do not: GGUF names its tensors otherwise, and
    models that are not built of `layers` (GPT-2) are only known once they are loaded.
    """
    if model.path is None or model.gguf_file is not None:
        return None
    try:
        tensors = [t for shard in model.path.glob("*.safetensors") for t in read_header(shard)]
        limit = _layers(files.read_object(model.path / "config.json"))
    except (DamagedHeader, OSError, files.BadConfig):
        return None
    names = [t.name for t in tensors if _is_linear(t) and _layer(t.name) < limit]
    paths = tuple(name.removesuffix(".weight") for name in names)
    return LinearModules(paths, any(".experts." in p for p in paths)) if paths else None


def _is_linear(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2 and tensor.name.endswith(".weight") and ".layers." in tensor.name


def _layer(name: str) -> int:
    found = _LAYER.search(name)
    return int(found[1]) if found else 0


def _layers(config: dict[str, object]) -> int:
    """Layers that are loaded: DeepSeek-V3 keeps one for predicting two tokens behind the last."""
    count = config.get("num_hidden_layers")
    return count if isinstance(count, int) else 1_000_000

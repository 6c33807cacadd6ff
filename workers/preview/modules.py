"""Which modules an adapter would be put on, without loading a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config.preview import PreviewSpec
from core.errors import AppError

if TYPE_CHECKING:
    from core.catalog.model_info import ModelInfo


def adapted_modules(info: ModelInfo, spec: PreviewSpec) -> dict[str, Any]:
    """Fields of `Preview`. Nothing for full fine-tuning, nor for a GGUF file, whose config only
    transformers' loader knows.
    """
    if spec.method == "full" or info.gguf_file is not None:
        return {}
    from workers.train.targets import find_targets, is_linear

    model = _skeleton(info)
    try:
        targets = find_targets(model, spec.lora.target_modules)
    except AppError as e:
        return {"targets_problem": e.info}
    adapted = [
        module
        for path, module in model.named_modules()
        if is_linear(module) and any(f".{path}".endswith(f".{name}") for name in targets.names)
    ]
    return {
        "target_modules": list(targets.names),
        "target_counts": targets.counts,
        "trainable_parameters": sum(spec.lora.r * sum(m.weight.shape) for m in adapted),
    }


def _skeleton(info: ModelInfo) -> Any:
    """The model's modules with tensors that have a shape and no content."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(info.path, local_files_only=True)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)

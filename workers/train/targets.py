"""Which modules of the loaded model get an adapter; the rules are in `core.config.targets`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from core.config.targets import Targets, resolve_names


def find_targets(model: Any, names: Iterable[str]) -> Targets:
    """Resolve `names` against a transformers model.

    Raises:
        UsageError: `train.targets_unknown` for names that match no linear module.
    """
    head = model.get_output_embeddings()
    linear = [n for n, m in model.named_modules() if is_linear(m) and m is not head]
    return resolve_names(linear, names, fused_experts=has_fused_experts(model))


def resolve_targets(model: Any, names: Iterable[str]) -> list[str]:
    """The names of `find_targets`, for PEFT's `target_modules`."""
    return list(find_targets(model, names).names)


def has_fused_experts(model: Any) -> bool:
    """Whether routed experts are one tensor with three dimensions a layer."""
    return any(p.ndim == 3 and ".experts." in name for name, p in model.named_parameters())


def is_linear(module: torch.nn.Module) -> bool:
    """Also bitsandbytes' quantized layers: they are kinds of `nn.Linear`."""
    # GPT-2 keeps its linear layers in a class of transformers' own.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"

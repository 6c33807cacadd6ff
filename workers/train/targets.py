"""Which modules get an adapter: names resolved against the model at hand, before anything runs.

DeepSeek-V2 and V3 have no `q_proj` and `v_proj` (V2-Lite has only `q_proj`), and PEFT's own
"all-linear" would also adapt the router of a mixture of experts; a name that matches nothing must
be said, not skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from core.errors import ErrorCode, UsageError

ALL_LINEAR = "all-linear"
_ROUTERS = {"gate", "router"}
"""Leaf names of routers; training them makes experts collapse, so they are never implied."""


def resolve_targets(model: Any, names: Iterable[str]) -> list[str]:
    """Leaf names for PEFT's `target_modules`, sorted. `model` is a transformers model.

    Raises:
        UsageError: `train.targets_unknown` for names that match no linear module.
    """
    wanted = set(names)
    available = adaptable(model)
    implied = available - _ROUTERS
    if ALL_LINEAR in wanted:
        wanted = (wanted - {ALL_LINEAR}) | implied
    if unknown := sorted(wanted - available):
        raise UsageError(
            ErrorCode.TRAIN_TARGETS_UNKNOWN,
            names=", ".join(unknown),
            available=", ".join(sorted(implied)),
        )
    return sorted(wanted)


def adaptable(model: Any) -> set[str]:
    """Leaf names of all linear modules but the output head."""
    head = model.get_output_embeddings()
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if _is_linear(module) and module is not head
    }


def _is_linear(module: torch.nn.Module) -> bool:
    # GPT-2 keeps its linear layers in a class of transformers' own.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"

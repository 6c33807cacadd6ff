"""Which modules get an adapter: names resolved against the model at hand, before anything runs.

DeepSeek-V2 and V3 have no `q_proj` and `v_proj` (V2-Lite has only `q_proj`), and PEFT's own
"all-linear" would also adapt the router of a mixture of experts; a name that matches nothing must
be said, not skipped.

Where routed experts are fused into one tensor, PEFT (0.19 and newer) silently turns `gate_proj`,
`up_proj` and `down_proj` into adapters of every routed expert, leaves the dense and shared layers
of these names out, and refuses dropout. There only the attention is offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from core.errors import ErrorCode, UsageError

ALL_LINEAR = "all-linear"
_ROUTERS = {"gate", "router"}
"""Leaf names of routers; training them makes experts collapse, so they are never implied."""
_FEED_FORWARD = frozenset({"gate_proj", "up_proj", "down_proj"})


def resolve_targets(model: Any, names: Iterable[str]) -> list[str]:
    """Module names for PEFT's `target_modules`, sorted. `model` is a transformers model.

    A name is the end of a module's path: "q_proj", or "self_attn.q_proj".

    Raises:
        UsageError: `train.targets_unknown` for names that match no linear module.
    """
    wanted = set(names)
    paths = _linear_paths(model)
    implied = {path.rpartition(".")[2] for path in paths} - _ROUTERS
    if ALL_LINEAR in wanted:
        wanted = (wanted - {ALL_LINEAR}) | implied
    unknown = sorted(n for n in wanted if not any(f".{p}".endswith(f".{n}") for p in paths))
    if unknown:
        raise UsageError(
            ErrorCode.TRAIN_TARGETS_UNKNOWN,
            names=", ".join(unknown),
            available=", ".join(sorted(implied)),
        )
    return sorted(wanted)


def _linear_paths(model: Any) -> list[str]:
    """Paths of all linear modules that can have an adapter."""
    head = model.get_output_embeddings()
    taken = _FEED_FORWARD if _has_fused_experts(model) else frozenset()
    return [
        name
        for name, module in model.named_modules()
        if _is_linear(module) and module is not head and name.rpartition(".")[2] not in taken
    ]


def _has_fused_experts(model: Any) -> bool:
    return any(
        p.ndim == 3 and name.endswith("gate_up_proj") for name, p in model.named_parameters()
    )


def _is_linear(module: torch.nn.Module) -> bool:
    # GPT-2 keeps its linear layers in a class of transformers' own.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"

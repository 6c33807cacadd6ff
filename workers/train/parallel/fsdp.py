"""torch's FSDP2 (`fully_shard`, https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html).

Parameters become parts (`DTensor`) over all processes; each decoder layer is gathered for its
forward and backward pass. The adapter must be on before: one that is added afterwards stays whole,
differs from process to process, and nobody reduces its gradient.
"""

from __future__ import annotations

from typing import Any

import torch

from core.config.parallel import ParallelSpec


def shard(model: Any, parallel: ParallelSpec, device: str) -> None:
    """Shard a model in place, layer by layer, the rest (embedding, last norm, head) as one.

    Weights keep their dtype, frozen 16-bit beside trained fp32, and autocast works as in one
    process; gradients are reduced in the dtype of their weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

    offload = CPUOffloadPolicy(pin_memory=device == "cuda") if parallel.cpu_offload else None
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device, (parallel.world_size,)),
        "offload_policy": offload or OffloadPolicy(),
    }
    for layer in decoder_layers(model):
        fully_shard(layer, reshard_after_forward=parallel.reshard_after_forward, **options)
    fully_shard(model, **options)


def decoder_layers(model: Any) -> list[torch.nn.Module]:
    """The modules that transformers says must not be cut in two, outermost first."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [m for m in model.modules() if type(m).__name__ in names]

"""Fewer activations in memory: compute them again (checkpointing), or keep them on the host.

- full: each layer keeps its input only and runs again in the backward pass: about 2 bytes a token
  and hidden unit instead of 34 to 67.
- selective: the results of attention and of the square matrix products are kept as well, those of
  the wide feed-forward products, norms and activations are computed again.
- activation offload: what checkpointing keeps goes to pinned host memory and comes back in time.

Always without re-entrance (`use_reentrant=False`): the other form drops the gradients of adapters
on a frozen embedding (https://github.com/huggingface/peft/issues/1142).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from core.config.train import TrainSpec
from core.protocol.events import Finding
from workers.train.activation_offload import ActivationOffload
from workers.train.device import Place

OFFLOAD_NEEDS_CARD = "activation_offload_needs_card"
OFFLOAD_NEEDS_CHECKPOINTS = "activation_offload_needs_checkpointing"
NO_CHECKPOINTING = "gradient_checkpointing_not_supported"

_ATTENTION = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
    "_flash_attention_forward",
    "_cudnn_attention_forward",
)
"""Names in `torch.ops.aten`; a torch that lacks one is fine."""


def save_memory(model: Any, spec: TrainSpec, place: Place) -> list[Finding]:
    """Put into force what the spec asks for, on the transformers model below any adapter.

    Returns:
        Notes about what could not be done.
    """
    mode = spec.gradient_checkpointing
    if mode != "off" and not getattr(model, "supports_gradient_checkpointing", False):
        return [Finding(code=NO_CHECKPOINTING)]
    if mode != "off":
        checkpoint_layers(model, selective=mode == "selective")
    return _offload(model, spec, place) if spec.activation_offload else []


def checkpoint_layers(model: Any, *, selective: bool) -> None:
    """Turn checkpointing of a transformers model's layers on; it works in training mode only."""
    options: dict[str, Any] = {"use_reentrant": False}
    if selective:
        options["context_fn"] = partial(create_selective_checkpoint_contexts, keep_expensive)
    if hasattr(model, "activation_checkpointing_enable"):  # its name since transformers 5.23
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def keep_expensive(_ctx: Any, op: Any, *args: Any, **_kwargs: Any) -> CheckpointPolicy:
    """The policy of selective checkpointing.

    Each element of a product costs as much to compute as any other, so the choice is one of
    memory: square products (attention's in- and outputs) are kept, wide ones (feed-forward, latent
    to heads) and narrow ones (whose results nothing saves, or cheap ones) are computed again.
    """
    if op in _attention_ops():
        return CheckpointPolicy.MUST_SAVE
    if op is torch.ops.aten.mm.default and _is_square(args[1]):
        return CheckpointPolicy.MUST_SAVE
    if op is torch.ops.aten.addmm.default and _is_square(args[2]):
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def _is_square(weight: torch.Tensor) -> bool:
    """`weight` is inputs x outputs."""
    inputs, outputs = weight.shape
    return bool(outputs <= inputs <= 2 * outputs)


def _attention_ops() -> frozenset[Any]:
    global _found
    if _found is None:
        packets = (getattr(torch.ops.aten, name, None) for name in _ATTENTION)
        _found = frozenset(p.default for p in packets if p is not None)
    return _found


_found: frozenset[Any] | None = None


def _offload(model: Any, spec: TrainSpec, place: Place) -> list[Finding]:
    if place.device != "cuda":
        return [Finding(code=OFFLOAD_NEEDS_CARD)]
    if spec.gradient_checkpointing == "off":
        return [Finding(code=OFFLOAD_NEEDS_CHECKPOINTS)]
    ActivationOffload().attach(decoder_of(model))
    return []


def decoder_of(model: Any) -> torch.nn.Module:
    """The stack of layers, without the head: its chunked loss keeps nothing worth moving."""
    found: torch.nn.Module = getattr(model, model.base_model_prefix, model)
    return found

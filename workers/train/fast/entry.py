"""Switches a model's decoder layers to the fast forms, where they compute the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from workers.train.fast.final_norm import FastNorm
from workers.train.fast.layer import FastLayer, Recompute, Surroundings
from workers.train.fast.suits import Part, Unsuited, fast_layer_of
from workers.train.fast.support import why_no_kernels


@dataclass
class SpeedReport:
    """What `accelerate` did."""

    fast_layers: int = 0
    layers: int = 0
    reasons: dict[tuple[Part, str], int] = field(default_factory=dict)
    """Why layers stayed as they were (where the difference lies, and what it is), and how many."""

    @property
    def switched_on(self) -> bool:
        """At least one layer is fast."""
        return self.fast_layers > 0

    def __str__(self) -> str:
        kept = ", ".join(f"{n} x {part} {what}" for (part, what), n in self.reasons.items())
        return f"{self.fast_layers} of {self.layers} layers fast" + (f" ({kept})" if kept else "")


def accelerate(
    model: Any, *, recompute: Recompute | None = None, without_kernels: bool = False
) -> SpeedReport:
    """Give every suited decoder layer of a PEFT model its fast forward pass.

    Call it once, after the adapters are on and after `gradient_checkpointing_enable`, before the
    model is wrapped (accelerate, DDP, FSDP2). Parameters, their names and checkpoints stay what
    they are. A call that the fast form does not know (a key-value cache, adapters switched off,
    another dtype under autocast) runs the plain layer. `restore` takes all of it back.

    Args:
        model: a PEFT model over transformers' Llama, Qwen2 or Qwen3; others are left alone.
        recompute: what the backward pass makes again instead of keeping it. None: "full" where
            gradient checkpointing is on, else "none".
        without_kernels: also where Triton does not run, in plain torch: for tests, and for less
            memory on other cards.
    """
    report = SpeedReport()
    for layer in _decoder_layers(model):
        report.layers += 1
        try:
            _switch(layer, recompute, without_kernels)
            report.fast_layers += 1
        except Unsuited as why:
            reason = why.part, why.what
            report.reasons[reason] = report.reasons.get(reason, 0) + 1
    if report.switched_on:
        _switch_final_norm(model)
    return report


def restore(model: Any) -> None:
    """The plain forward passes again, with gradient checkpointing as it was found."""
    for module in model.modules():
        forward = module.__dict__.get("forward")
        if isinstance(forward, _Forward):
            module.gradient_checkpointing = forward.plain_checkpointing
        if isinstance(forward, _Forward | FastNorm):
            del module.forward


def _decoder_layers(model: Any) -> list[Any]:
    """Everything transformers calls a decoder layer."""
    return [m for m in model.modules() if type(m).__name__.endswith("DecoderLayer")]


def _switch(layer: Any, recompute: Recompute | None, without_kernels: bool) -> None:
    plain = bool(getattr(layer, "gradient_checkpointing", False))
    fast = fast_layer_of(layer, recompute or ("full" if plain else "none"))
    if not without_kernels and (why := why_no_kernels(layer.input_layernorm.weight)):
        raise Unsuited("card", why)
    layer.forward = _Forward(layer, fast, plain)
    layer.gradient_checkpointing = False  # the fast layer sees to it itself


def _switch_final_norm(model: Any) -> None:
    for module in model.modules():
        norm: Any = getattr(module, "norm", None) if hasattr(module, "layers") else None
        if type(norm).__name__.endswith("RMSNorm") and not norm.weight.requires_grad:
            norm.forward = FastNorm(norm)


class _Forward:
    """Stands in for a layer's `forward`."""

    def __init__(self, layer: Any, fast: FastLayer, plain_checkpointing: bool) -> None:
        self._layer = layer
        self._fast = fast
        self.plain_checkpointing = plain_checkpointing
        parents = (layer.self_attn, layer.mlp)
        self._seen = [(p, name, m) for p in parents for name, m in p.named_children()]
        self._tuners = [
            (m, list(m.active_adapters)) for _, _, m in self._seen if hasattr(m, "base_layer")
        ]

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self._knows(hidden_states, args, kwargs):
            return self._plain(hidden_states, *args, **kwargs)
        cos, sin = kwargs.pop("position_embeddings")
        mask = kwargs.pop("attention_mask", None)
        kwargs.pop("past_key_values", None)
        return self._fast(hidden_states, Surroundings(cos, sin, mask, kwargs))

    def _knows(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        angles = kwargs.get("position_embeddings")
        return (
            not args
            and angles is not None
            and angles[0].shape[-1] == self._fast.first.head_width
            and kwargs.get("past_key_values") is None
            and not kwargs.get("output_attentions")
            and x.dtype == _dtype_of_products(x) == self._fast.first.norm.weight.dtype
            and self._is_what_it_was()
        )

    def _is_what_it_was(self) -> bool:
        """No adapter was merged, removed, replaced or switched off."""
        return all(getattr(p, name) is m for p, name, m in self._seen) and not any(
            m.disable_adapters or m.merged or m.active_adapters != names
            for m, names in self._tuners
        )

    def _plain(self, *args: Any, **kwargs: Any) -> Any:
        """The layer as transformers wrote it; with recomputation where the fast one would."""
        from torch.utils.checkpoint import checkpoint

        plain = type(self._layer).forward.__get__(self._layer)
        if self._fast.recompute != "none" and torch.is_grad_enabled() and self._layer.training:
            return checkpoint(plain, *args, use_reentrant=False, **kwargs)
        return plain(*args, **kwargs)


def _dtype_of_products(x: torch.Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype

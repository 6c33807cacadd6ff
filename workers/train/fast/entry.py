"""Switches a model's decoder layers to the fast forms, where they compute the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from workers.train.fast.attention_half import AttentionHalf
from workers.train.fast.layer import FastLayer, Recompute
from workers.train.fast.mlp_half import MlpHalf
from workers.train.fast.projections import Group, Projection
from workers.train.fast.support import kernels_run_on

_LAYERS = {"LlamaDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
"""transformers' classes whose arithmetic the fast layer repeats."""


@dataclass
class SpeedReport:
    """What `accelerate` did."""

    fast_layers: int = 0
    layers: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why layers stayed as they were, and how many for each reason."""

    @property
    def switched_on(self) -> bool:
        """At least one layer is fast."""
        return self.fast_layers > 0

    def __str__(self) -> str:
        kept = ", ".join(f"{n} x {why}" for why, n in self.reasons.items())
        return f"{self.fast_layers} of {self.layers} layers fast" + (f" ({kept})" if kept else "")


class _Unsuited(Exception):
    """The plain layer computes something that the fast one does not."""


def accelerate(
    model: Any, *, recompute: Recompute | None = None, without_kernels: bool = False
) -> SpeedReport:
    """Give every suited decoder layer of a PEFT model its fast forward pass.

    Call it once, after the adapters are on and after `gradient_checkpointing_enable`, before the
    model is wrapped (accelerate, DDP, FSDP2). Parameters, their names and checkpoints stay what
    they are. A call that the fast form does not know (a key-value cache, adapters switched off,
    another dtype under autocast) runs the plain layer.

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
        except _Unsuited as why:
            report.reasons[str(why)] = report.reasons.get(str(why), 0) + 1
    return report


def _decoder_layers(model: Any) -> list[Any]:
    """Everything transformers calls a decoder layer."""
    return [m for m in model.modules() if type(m).__name__.endswith("DecoderLayer")]


def _switch(layer: Any, recompute: Recompute | None, without_kernels: bool) -> None:
    if type(layer).__name__ not in _LAYERS:
        raise _Unsuited(f"{type(layer).__name__} has no fast form")
    if not without_kernels and not kernels_run_on(layer.input_layernorm.weight):
        raise _Unsuited("no Triton kernels on this device")
    plain = bool(getattr(layer, "gradient_checkpointing", False))
    fast = _build(layer, recompute or ("full" if plain else "none"))
    layer.forward = _Forward(layer, fast)
    layer.gradient_checkpointing = False  # the fast layer sees to it itself


def _build(layer: Any, recompute: Recompute) -> FastLayer:
    attention, mlp = layer.self_attn, layer.mlp
    _check_layer(layer, attention, mlp)
    first = AttentionHalf(
        norm=layer.input_layernorm,
        qkv=Group(*(_projection(getattr(attention, f"{n}_proj")) for n in "qkv")),
        out=Group(_projection(attention.o_proj)),
        head_width=attention.head_dim,
        q_norm=getattr(attention, "q_norm", None),
        k_norm=getattr(attention, "k_norm", None),
    )
    second = MlpHalf(
        norm=layer.post_attention_layernorm,
        gate_up=Group(_projection(mlp.gate_proj), _projection(mlp.up_proj)),
        down=Group(_projection(mlp.down_proj)),
    )
    return FastLayer(attention, first, second, recompute)


def _check_layer(layer: Any, attention: Any, mlp: Any) -> None:
    if type(mlp.act_fn).__name__ not in ("SiLU", "SiLUActivation"):
        raise _Unsuited(f"activation {type(mlp.act_fn).__name__}")
    if attention.attention_dropout:
        raise _Unsuited("dropout in the attention")
    for module in layer.modules():
        if module is not layer and (module._forward_hooks or module._forward_pre_hooks):
            raise _Unsuited("hooks inside the layer")
        if type(module).__name__.endswith("RMSNorm") and module.weight.requires_grad:
            raise _Unsuited("norms are trained")


def _projection(module: Any) -> Projection:
    """Raises `_Unsuited` unless it is a frozen linear layer with at most one plain adapter."""
    if not hasattr(module, "base_layer"):
        return Projection(_frozen(module))
    base = _frozen(module.base_layer)
    names = module.active_adapters
    if len(names) != 1:
        raise _Unsuited("several adapters at once")
    name = names[0]
    if name not in module.lora_A:
        raise _Unsuited("an adapter that is not LoRA's")
    if name in module.lora_variant:
        raise _Unsuited("a variant of LoRA (DoRA)")
    if type(module.lora_dropout[name]).__name__ != "Identity":
        raise _Unsuited("dropout on the adapter's input")
    a, b = module.lora_A[name], module.lora_B[name]
    if a.bias is not None or b.bias is not None:
        raise _Unsuited("adapters with bias")
    if not (a.weight.requires_grad and b.weight.requires_grad):
        raise _Unsuited("a frozen adapter")
    return Projection(base, a, b, float(module.scaling[name]))


def _frozen(base: Any) -> Any:
    if type(base).__name__ not in ("Linear", "Linear4bit"):
        raise _Unsuited(f"{type(base).__name__} as base layer")
    if any(p.requires_grad for p in base.parameters(recurse=False)):
        raise _Unsuited("base weights are trained")
    return base


class _Forward:
    """Stands in for a layer's `forward`."""

    def __init__(self, layer: Any, fast: FastLayer) -> None:
        self._layer = layer
        self._fast = fast
        self._tuners = [m for m in layer.modules() if hasattr(m, "disable_adapters")]

    def __call__(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self._knows(hidden_states, args, kwargs):
            return self._plain(hidden_states, *args, **kwargs)
        cos, sin = kwargs.pop("position_embeddings")
        mask = kwargs.pop("attention_mask", None)
        kwargs.pop("past_key_values", None)
        return self._fast(hidden_states, cos, sin, mask, kwargs)

    def _knows(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        angles = kwargs.get("position_embeddings")
        return (
            not args
            and angles is not None
            and angles[0].shape[-1] == self._fast.first.head_width
            and kwargs.get("past_key_values") is None
            and not kwargs.get("output_attentions")
            and x.dtype == _dtype_of_products(x)
            and not any(m.disable_adapters or m.merged for m in self._tuners)
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

"""Whether a plain decoder layer computes what the fast one does, and the fast one made of it."""

from __future__ import annotations

from typing import Any

from workers.train.fast.attention_half import AttentionHalf
from workers.train.fast.layer import FastLayer, Recompute
from workers.train.fast.mlp_half import MlpHalf
from workers.train.fast.projections import Group, Projection

_LAYERS = {"LlamaDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
"""transformers' classes whose arithmetic the fast layer repeats."""


class Unsuited(Exception):
    """The plain layer computes something that the fast one does not; says what."""


def fast_layer_of(layer: Any, recompute: Recompute) -> FastLayer:
    """The fast form of a transformers decoder layer with PEFT's adapters.

    Raises:
        Unsuited: there is none.
    """
    if type(layer).__name__ not in _LAYERS:
        raise Unsuited(f"{type(layer).__name__} has no fast form")
    attention, mlp = layer.self_attn, layer.mlp
    _check(layer, attention, mlp)
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


def _check(layer: Any, attention: Any, mlp: Any) -> None:
    if type(mlp.act_fn).__name__ not in ("SiLU", "SiLUActivation"):
        raise Unsuited(f"activation {type(mlp.act_fn).__name__}")
    if attention.attention_dropout:
        raise Unsuited("dropout in the attention")
    for module in layer.modules():
        if module is not layer and (module._forward_hooks or module._forward_pre_hooks):
            raise Unsuited("hooks inside the layer")
        if type(module).__name__.endswith("RMSNorm") and module.weight.requires_grad:
            raise Unsuited("norms are trained")


def _projection(module: Any) -> Projection:
    """A frozen linear layer with at most one plain adapter."""
    if not hasattr(module, "base_layer"):
        return Projection(_frozen(module))
    base = _frozen(module.base_layer)
    name = _only_adapter(module)
    a, b = module.lora_A[name], module.lora_B[name]
    if a.bias is not None or b.bias is not None:
        raise Unsuited("adapters with bias")
    if not (a.weight.requires_grad and b.weight.requires_grad):
        raise Unsuited("a frozen adapter")
    return Projection(base, a, b, float(module.scaling[name]))


def _only_adapter(module: Any) -> str:
    names = module.active_adapters
    if len(names) != 1:
        raise Unsuited("several adapters at once")
    name: str = names[0]
    if name not in getattr(module, "lora_A", {}):
        raise Unsuited("an adapter that is not LoRA's")
    if name in module.lora_variant:
        raise Unsuited("a variant of LoRA (DoRA)")
    if type(module.lora_dropout[name]).__name__ != "Identity":
        raise Unsuited("dropout on the adapter's input")
    return name


def _frozen(base: Any) -> Any:
    if type(base).__name__ not in ("Linear", "Linear4bit"):
        raise Unsuited(f"{type(base).__name__} as base layer")
    if any(p.requires_grad for p in base.parameters(recurse=False)):
        raise Unsuited("base weights are trained")
    return base

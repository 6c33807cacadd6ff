"""Whether a plain decoder layer computes what the fast one does, and the fast one made of it."""

from __future__ import annotations

from typing import Any, Literal

from workers.train.fast.attention_half import AttentionHalf
from workers.train.fast.layer import FastLayer, Recompute
from workers.train.fast.mlp_half import MlpHalf
from workers.train.fast.projections import Group, Projection

_LAYERS = {"LlamaDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
"""transformers' classes whose arithmetic the fast layer repeats."""


Part = Literal["architecture", "adapter", "weights", "card"]
"""Where the difference lies."""


class Unsuited(Exception):
    """The plain layer computes something that the fast one does not."""

    def __init__(self, part: Part, what: str) -> None:
        super().__init__(part, what)
        self.part = part
        self.what = what


def fast_layer_of(layer: Any, recompute: Recompute) -> FastLayer:
    """The fast form of a transformers decoder layer with PEFT's adapters.

    Raises:
        Unsuited: there is none.
    """
    if type(layer).__name__ not in _LAYERS:
        raise Unsuited("architecture", type(layer).__name__)
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
        raise Unsuited("architecture", type(mlp.act_fn).__name__)
    if attention.attention_dropout:
        raise Unsuited("architecture", "attention_dropout")
    for module in layer.modules():
        if module is not layer and (module._forward_hooks or module._forward_pre_hooks):
            raise Unsuited("weights", "hooks")
        if type(module).__name__.endswith("RMSNorm") and module.weight.requires_grad:
            raise Unsuited("weights", "trained")


def _projection(module: Any) -> Projection:
    """A frozen linear layer with at most one plain adapter."""
    if not hasattr(module, "base_layer"):
        return Projection(_frozen(module))
    base = _frozen(module.base_layer)
    name = _only_adapter(module)
    a, b = module.lora_A[name], module.lora_B[name]
    if a.bias is not None or b.bias is not None:
        raise Unsuited("adapter", "bias")
    if not (a.weight.requires_grad and b.weight.requires_grad):
        raise Unsuited("adapter", "frozen")
    return Projection(base, a, b, float(module.scaling[name]))


def _only_adapter(module: Any) -> str:
    names = module.active_adapters
    if len(names) != 1:
        raise Unsuited("adapter", "several")
    name: str = names[0]
    if name not in getattr(module, "lora_A", {}):
        raise Unsuited("adapter", type(module).__name__)
    if name in module.lora_variant:
        raise Unsuited("adapter", "DoRA")
    if type(module.lora_dropout[name]).__name__ != "Identity":
        raise Unsuited("adapter", "dropout")
    return name


def _frozen(base: Any) -> Any:
    if type(base).__name__ not in ("Linear", "Linear4bit"):
        raise Unsuited("weights", type(base).__name__)
    parameters = list(base.parameters(recurse=False))
    if any(p.requires_grad for p in parameters):
        raise Unsuited("weights", "trained")
    if any(type(p.data).__name__ == "DTensor" for p in parameters):
        raise Unsuited("weights", "DTensor")  # a slice of the matrix (tensor parallel)
    return base

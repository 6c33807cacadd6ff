"""What a decoder layer keeps for its backward pass, in bytes a token.

The formulas follow the code that runs, tensor by tensor, and were checked against a live-storage
count of transformers' layers (`workers/train/meta_peak.py`) and against one H200
(docs/benchmarks.md). For Llama with H = width, m = MLP width / H, bf16 without autocast, in bytes
a token and layer over H: all weights trained 45.6; LoRA on q and v 40.2; on all linear layers 66.9
with fp32 adapters and 41.6 with bf16 ones; fully recomputed 2.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.planning.shapes import Linear, ModelShape

Kernels = Literal["plain", "fast", "liger"]
Recompute = Literal["off", "selective", "full"]


@dataclass(frozen=True)
class Style:
    """How the layers are computed."""

    kernels: Kernels = "plain"
    element: int = 2
    """Bytes of an activation: 2 or 4."""
    autocast: bool = True
    full: bool = False
    """All weights are trained, kept in fp32."""
    adapter_bytes: int = 4
    dropout: bool = False
    dora: bool = False
    rank: int = 0
    slices: int = 1
    """Tensor parallel: into how many parts the inside of a layer is split."""


def kept_bytes(shape: ModelShape, targets: tuple[Linear, ...], style: Style) -> float:
    """Of an average layer, a token, when nothing is recomputed."""
    outside = _norms(shape, style) + _attention(shape, style)
    return outside + _adapters(targets, shape, style) + feed_forward_bytes(shape, style)


def selective_bytes(shape: ModelShape, targets: tuple[Linear, ...], style: Style) -> float:
    """Of an average layer under selective recomputation."""
    if style.kernels == "fast":  # gate and up are made again, the rest is kept
        inside = ("feed_forward", "product", "shared")
        outside = tuple(t for t in targets if t.reads not in inside)
        norms = _norms(shape, style)
        return norms + _attention(shape, style) + _adapters(outside, shape, style)
    # The layer's input, and the results of the attention and of (nearly) square products.
    a = shape.attention
    square = sum(x.outputs for x in _of_one_layer(shape) if x.outputs <= x.inputs <= 2 * x.outputs)
    kept = style.element * (shape.hidden + a.out / style.slices + square / style.slices)
    return kept + 4 * a.heads / style.slices


def full_bytes(shape: ModelShape, style: Style) -> float:
    """Of a layer that is recomputed from its input."""
    return style.element * shape.hidden * (2 if _wide_stream(style) else 1)


def packed_bytes(trained: float, style: Style) -> float:
    """Adapters that the fast layers packed in 16 bits, kept for the backward pass."""
    return trained * style.element if style.kernels == "fast" else 0.0


def transient_bytes(
    shape: ModelShape, targets: tuple[Linear, ...], style: Style, recompute: Recompute = "off"
) -> float:
    """What the backward pass of one layer needs beside what was kept or made again, at its widest.

    Args:
        shape: of the model.
        targets: what adapters sit on.
        style: how layers are computed.
        recompute: what the backward pass makes again.
    """
    widest = max(shape.intermediate, _routed_width(shape)) / style.slices
    if style.kernels == "plain":
        # With an adapter behind the product its cast input stays with what was made again.
        cast = 1.5 if recompute != "off" and _casts_product(targets, style) else 0.0
        return style.element * ((2 + cast) * widest + 2 * shape.hidden)
    if recompute == "full" and style.kernels == "fast":
        return style.element * 2 * shape.hidden  # it works in the place of what was made again
    return style.element * (widest + 2 * shape.hidden)


def _casts_product(targets: tuple[Linear, ...], style: Style) -> bool:
    wide = any(t.reads == "product" for t in targets)
    return wide and style.autocast and not style.full and not _shares_input(style)


def feed_forward_bytes(shape: ModelShape, style: Style) -> float:
    """Gate, up and what lies between them and the product; an average over dense and routed."""
    # silu keeps gate; the product keeps silu(gate) and up. One kernel keeps gate and up.
    copies = 3 if style.kernels == "plain" else 2
    product = 1 if style.full else 0
    inner = style.element * (copies + product) / style.slices
    dense = inner * shape.intermediate * shape.dense_layers
    if shape.experts is None:
        return dense / shape.layers
    routed = shape.experts.chosen * (inner * shape.experts.width + style.element * 2 * shape.hidden)
    router = 4 * 3 * shape.experts.count
    one = routed + router + inner * shape.experts.shared_width
    return (dense + one * shape.experts.layers) / shape.layers


def _of_one_layer(shape: ModelShape) -> list[Linear]:
    """Linear layers that every layer has."""
    return [x for x in shape.linears if x.count == shape.layers]


def _routed_width(shape: ModelShape) -> int:
    if shape.experts is None:
        return 0
    return shape.experts.chosen * shape.experts.width + shape.experts.shared_width


def _wide_stream(style: Style) -> bool:
    """With fp32 weights under autocast, what flows between the layers is fp32."""
    return style.full and style.autocast and style.element == 2


def _norms(shape: ModelShape, style: Style) -> float:
    """Two norms a layer, and those inside the attention."""
    # transformers' RMSNorm computes in fp32 and keeps that; a kernel keeps its input alone.
    one = 4.0 if style.kernels == "plain" else float(style.element)
    if style.full:  # the normed input too, for the gradient of the norm's weight
        one += 4.0 if _wide_stream(style) else float(style.element)
    return one * (2 * shape.hidden + shape.attention.normed / style.slices)


def _attention(shape: ModelShape, style: Style) -> float:
    """q, k, v and the output, as flash-like kernels keep them, and a sum a head."""
    a = shape.attention
    return (style.element * (a.query + a.key + a.value + a.out) + 4 * a.heads) / style.slices


def _adapters(targets: tuple[Linear, ...], shape: ModelShape, style: Style) -> float:
    """Inputs kept for the gradients of adapters, or of the weights themselves."""
    if style.full:
        return _full_inputs(shape, style)
    narrow = sum(t.count for t in targets) * style.rank * style.element / shape.layers
    if style.kernels == "fast":  # inputs are made again from what is there
        return narrow
    wide = sum(_input_bytes(group, style) for group in _by_input(targets)) / shape.layers
    if style.dora:
        wide += sum(t.count * (t.outputs + t.inputs) for t in targets) * 4 / shape.layers
    return narrow + wide


def _full_inputs(shape: ModelShape, style: Style) -> float:
    """Inputs of all linear layers; what the attention and the MLP keep is not counted again."""
    normed = [x for x in shape.linears if x.reads in ("input", "query", "latent", "feed_forward")]
    if _wide_stream(style):  # each layer casts the fp32 input for itself
        return sum(x.count * x.inputs for x in normed) * 2 / shape.layers
    groups = _by_input(tuple(normed))
    return sum(g[0].count * g[0].inputs for g in groups) * style.element / shape.layers


def _by_input(targets: tuple[Linear, ...]) -> list[tuple[Linear, ...]]:
    groups: dict[str, list[Linear]] = {}
    for target in targets:
        groups.setdefault(target.reads, []).append(target)
    return [tuple(group) for group in groups.values()]


def _input_bytes(group: tuple[Linear, ...], style: Style) -> float:
    """Of all layers, for layers that read the same activation of this width."""
    elements = sum(t.count * t.inputs for t in group)
    once = max(t.count * t.inputs for t in group)
    if style.dropout:  # each adapter has its own input then, and a mask of bytes
        return elements * (_cast_bytes(style) + 1)
    if _shares_input(style):
        return 0.0 if group[0].reads == "attention" else float(once * style.element)
    return float(elements * _cast_bytes(style))


def _shares_input(style: Style) -> bool:
    """The adapter reads the activation as it is; otherwise PEFT casts a copy for each."""
    return style.adapter_bytes == style.element


def _cast_bytes(style: Style) -> int:
    """Autocast computes the adapter in 16 bits; else it keeps its own precision."""
    return style.element if style.autocast else max(style.adapter_bytes, style.element)

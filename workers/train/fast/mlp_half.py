"""The second half of a decoder layer: norm, gate and up, SwiGLU, down, residual.

Kept for the backward pass: the input, gate and up, and the narrow products of the adapters; or,
`lean`, the input alone, from which the rest is made again a piece of the tokens at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from workers.train.fast import ops
from workers.train.fast.projections import Group, Packed, Tensors, keep, kept

PIECE_TOKENS = 8192
"""Large enough that matrix products stay efficient, small enough that gate and up stay small."""


@dataclass(frozen=True)
class MlpHalf:
    """The modules of one layer's MLP half."""

    norm: Any
    """RMSNorm module: `weight`, `variance_epsilon`."""
    gate_up: Group
    down: Group

    def tensors(self) -> list[torch.Tensor]:
        """Adapters of gate and up, then of down."""
        return [*self.gate_up.tensors(), *self.down.tensors()]

    def pack(self, tensors: Tensors, dtype: torch.dtype) -> _Packs:
        """`tensors` as from `tensors()`."""
        first = 2 * sum(p.adapted for p in self.gate_up.projections)
        gate_up = self.gate_up.pack(tensors[:first], dtype)
        return _Packs(gate_up, self.down.pack(tensors[first:], dtype))


@dataclass
class _Midway:
    """Tokens of one piece on their way through the MLP."""

    x: torch.Tensor
    inverse: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    narrow: torch.Tensor | None
    narrow_down: torch.Tensor | None = None


@dataclass(frozen=True)
class _Packs:
    """Adapters of gate and up, and of down."""

    gate_up: Packed | None
    down: Packed | None


def run(half: MlpHalf, x: torch.Tensor, *, lean: bool) -> torch.Tensor:
    """X + MLP(norm(x)), differentiable in `x` and the adapters.

    Args:
        half: the layer's modules.
        x: contiguous (batch, tokens, width).
        lean: keep only `x` for the backward pass.
    """
    out: torch.Tensor = _Mlp.apply(half, lean, x, *half.tensors())  # type: ignore[no-untyped-call]
    return out


def forward(half: MlpHalf, x: torch.Tensor, adapters: Tensors, out: torch.Tensor) -> torch.Tensor:
    """What `run` computes, into `out` (contiguous, as `x`), without a graph."""
    packs = half.pack(adapters, x.dtype)
    mid = _up_to_gate(half, x.flatten(0, -2), packs)
    # Nobody looks at the gate again: its place can be taken.
    product = ops.swiglu(mid.gate, mid.up, out=mid.gate)
    (y,), _ = half.down.forward(product, packs.down)
    return torch.add(y.view_as(x), x, out=out)


def backward(
    half: MlpHalf, x: torch.Tensor, upstream: torch.Tensor, adapters: Tensors
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Gradients of `run` in `x` and `adapters`, from nothing but its input."""
    flat, d_flat = x.flatten(0, -2), upstream.contiguous().flatten(0, -2)
    packs = half.pack(adapters, x.dtype)
    d_x = torch.empty_like(flat)
    gradients: list[torch.Tensor] = []
    for start in range(0, flat.shape[0], PIECE_TOKENS):
        rows = slice(start, start + PIECE_TOKENS)
        mid = _up_to_gate(half, flat[rows], packs)
        gradients = added(gradients, _backward(half, mid, d_flat[rows], packs, d_x[rows]))
    return d_x.view_as(x), gradients


def added(total: list[torch.Tensor], more: list[torch.Tensor]) -> list[torch.Tensor]:
    """The sum of two lists of gradients, in the first; an empty first one counts as zeros."""
    return [a.add_(b) for a, b in zip(total, more, strict=True)] if total else more


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, half: MlpHalf, lean: bool, x: torch.Tensor, *adapters: torch.Tensor
    ) -> torch.Tensor:
        ctx.half, ctx.lean = half, lean
        if lean:
            ctx.save_for_backward(x, *adapters)
            return forward(half, x, adapters, torch.empty_like(x))
        packs = half.pack(adapters, x.dtype)
        mid = _up_to_gate(half, x.flatten(0, 1), packs)
        product = ops.swiglu(mid.gate, mid.up)
        (y,), mid.narrow_down = half.down.forward(product, packs.down)
        states = [x, mid.inverse, mid.gate, mid.up, mid.narrow, mid.narrow_down]
        keep(ctx, [packs.gate_up, packs.down], states)
        return torch.add(y.view_as(x), x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        if ctx.lean:
            x, *adapters = ctx.saved_tensors
            d_x, gradients = backward(ctx.half, x, upstream, adapters)
            return (None, None, d_x, *gradients)
        packs, (x, *states) = kept(ctx)
        mid = _Midway(x.flatten(0, 1), *states)
        upstream = upstream.contiguous()
        d_x = torch.empty_like(upstream)
        flat, d_flat = upstream.flatten(0, 1), d_x.flatten(0, 1)
        gradients = _backward(ctx.half, mid, flat, _Packs(*packs), d_flat)
        # The kernels wrote over these; a second backward pass must be refused, not wrong.
        torch.autograd.graph.increment_version([mid.gate, mid.up])
        return (None, None, d_x, *gradients)


def _up_to_gate(half: MlpHalf, x: torch.Tensor, packs: _Packs) -> _Midway:
    normed, inverse = ops.rms_norm(x, half.norm.weight, half.norm.variance_epsilon)
    (gate, up), narrow = half.gate_up.forward(normed, packs.gate_up)
    return _Midway(x, inverse, gate, up, narrow)


def _backward(
    half: MlpHalf, mid: _Midway, upstream: torch.Tensor, packs: _Packs, d_x: torch.Tensor
) -> list[torch.Tensor]:
    """Writes the gradient in `mid.x` to `d_x` and returns those of the adapters; gate and up are
    written over.
    """
    below = half.down.input_grad([upstream], packs.down)
    slope = below.d_input
    assert slope is not None
    ops.swiglu_backward_(mid.gate, mid.up, slope, product=packs.down is not None)
    product = slope  # by now, where an adapter on `down` wants it
    narrow = mid.narrow_down
    if narrow is None:
        narrow = half.down.narrow(product, packs.down)
    down = half.down.adapter_grads([upstream], product, narrow, below.narrow, packs.down)
    del product, slope, below
    d_both = [mid.gate, mid.up]  # by now
    above = half.gate_up.input_grad(d_both, packs.gate_up)
    gate_up = half.gate_up.adapter_grads(
        d_both,
        mid.x,
        mid.narrow,
        above.narrow,
        packs.gate_up,
        row_scale=mid.inverse,
        column_scale=half.norm.weight,
    )
    assert above.d_input is not None
    ops.rms_norm_backward(above.d_input, mid.x, mid.inverse, half.norm.weight, upstream, out=d_x)
    return [*gate_up, *down]

"""The second half of a decoder layer: norm, gate and up, SwiGLU, down, residual.

Kept for the backward pass: the input, gate and up, and the narrow products of the adapters; or,
`lean`, the input alone, from which the rest is made again a piece of the tokens at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from workers.train.fast import ops
from workers.train.fast.projections import Group, Tensors

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

    def split(self, tensors: Tensors) -> tuple[Tensors, Tensors]:
        """`tensors` as from `tensors()`: those of gate and up, those of down."""
        first = 2 * sum(p.adapted for p in self.gate_up.projections)
        return tensors[:first], tensors[first:]


@dataclass
class _Kept:
    """Tokens of one piece on their way through the MLP."""

    x: torch.Tensor
    inverse: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    narrow: torch.Tensor | None
    narrow_down: torch.Tensor | None = None


def run(half: MlpHalf, x: torch.Tensor, *, lean: bool) -> torch.Tensor:
    """X + MLP(norm(x)), differentiable in `x` and the adapters.

    Args:
        half: the layer's modules.
        x: contiguous (batch, tokens, width).
        lean: keep only `x` for the backward pass.
    """
    out: torch.Tensor = _Mlp.apply(half, lean, x, *half.tensors())  # type: ignore[no-untyped-call]
    return out


def backward(
    half: MlpHalf, x: torch.Tensor, upstream: torch.Tensor, adapters: Tensors
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Gradients of `run` in `x` and `adapters`, from nothing but its input."""
    flat, d_flat = x.flatten(0, -2), upstream.contiguous().flatten(0, -2)
    first, _ = half.split(adapters)
    several = flat.shape[0] > PIECE_TOKENS
    d_x = torch.empty_like(flat) if several else None
    gradients: list[torch.Tensor] = []
    for start in range(0, max(1, flat.shape[0]), PIECE_TOKENS):
        rows = slice(start, start + PIECE_TOKENS)
        kept = _up_to_gate(half, flat[rows], first)
        d_piece, found = _backward(half, kept, d_flat[rows], adapters)
        if d_x is None:
            return d_piece.view_as(x), found
        d_x[rows] = d_piece
        gradients = added(gradients, found)
    assert d_x is not None
    return d_x.view_as(x), gradients


def added(total: list[torch.Tensor], more: list[torch.Tensor]) -> list[torch.Tensor]:
    """The sum of two lists of gradients, in the first; an empty first one counts as zeros."""
    return [a.add_(b) for a, b in zip(total, more, strict=True)] if total else more


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, half: MlpHalf, lean: bool, x: torch.Tensor, *adapters: torch.Tensor
    ) -> torch.Tensor:
        first, second = half.split(adapters)
        kept = _up_to_gate(half, x.flatten(0, 1), first)
        keeps = any(ctx.needs_input_grad) and not lean
        # Nobody looks at the gate again: its place can be taken.
        product = ops.swiglu(kept.gate, kept.up, out=None if keeps else kept.gate)
        (out,), kept.narrow_down = half.down.forward(product, second)
        ctx.half, ctx.lean, ctx.adapters = half, lean, len(adapters)
        if lean:
            ctx.save_for_backward(*adapters, x)
        else:
            ctx.save_for_backward(
                *adapters, x, kept.inverse, kept.gate, kept.up, kept.narrow, kept.narrow_down
            )
        return out.view_as(x).add_(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # once: hooks (activation offload) fetch at every look
        adapters = saved[: ctx.adapters]
        x, *rest = saved[ctx.adapters :]
        if ctx.lean:
            d_x, gradients = backward(ctx.half, x, upstream, adapters)
            return (None, None, d_x, *gradients)
        kept = _Kept(x.flatten(0, 1), *rest)
        flat = upstream.contiguous().flatten(0, 1)
        d_x, gradients = _backward(ctx.half, kept, flat, adapters)
        # The kernels wrote over these; a second backward pass must be refused, not wrong.
        torch.autograd.graph.increment_version([kept.gate, kept.up])
        return (None, None, d_x.view_as(x), *gradients)


def _up_to_gate(half: MlpHalf, x: torch.Tensor, adapters: Tensors) -> _Kept:
    normed, inverse = ops.rms_norm(x, half.norm.weight, half.norm.variance_epsilon)
    (gate, up), narrow = half.gate_up.forward(normed, adapters)
    return _Kept(x, inverse, gate, up, narrow)


def _backward(
    half: MlpHalf, kept: _Kept, upstream: torch.Tensor, adapters: Tensors
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Gradients in `kept.x` and the adapters; gate and up are written over."""
    first, second = half.split(adapters)
    below = half.down.input_grad([upstream], second)
    slope = below.d_input
    assert slope is not None
    ops.swiglu_backward_(kept.gate, kept.up, slope)
    product = slope  # by now
    narrow = kept.narrow_down
    if narrow is None:
        narrow = half.down.narrow(product, second)
    down = half.down.adapter_grads([upstream], product, narrow, below.narrow, second)
    del product, slope
    d_both = [kept.gate, kept.up]  # by now
    above = half.gate_up.input_grad(d_both, first)
    gate_up = half.gate_up.adapter_grads(
        d_both,
        kept.x,
        kept.narrow,
        above.narrow,
        first,
        row_scale=kept.inverse,
        column_scale=half.norm.weight,
    )
    normed = above.d_input
    assert normed is not None
    d_x = ops.rms_norm_backward(
        normed, kept.x, kept.inverse, half.norm.weight, upstream, out=normed
    )
    return d_x, [*gate_up, *down]

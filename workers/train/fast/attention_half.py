"""The first half of a decoder layer: norm, projections, rotation, attention, output, residual.

Two autograd functions with transformers' attention between them, so that every registered
attention implementation (SDPA, packed rows) works here as it does in the plain layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from workers.train.fast import ops
from workers.train.fast.projections import Group, keep, kept


@dataclass(frozen=True)
class AttentionHalf:
    """The modules of one layer's attention half."""

    norm: Any
    """RMSNorm module: `weight`, `variance_epsilon`."""
    qkv: Group
    out: Group
    head_width: int
    q_norm: Any = None
    """Qwen3 norms each head of q and k."""
    k_norm: Any = None

    def tensors(self) -> list[torch.Tensor]:
        """Adapters of the projections in, then of the projection out."""
        return [*self.qkv.tensors(), *self.out.tensors()]

    def project(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """q, k, v (batch, tokens, heads, width), rotated; and `x` itself, to go around."""
        made: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] = (
            _NormProjectRotate.apply(self, x, cos, sin, *self.qkv.tensors())  # type: ignore[no-untyped-call]
        )
        return made

    def finish(self, attended: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """X + projection of `attended` (batch, tokens, heads * width)."""
        out: torch.Tensor = _ProjectAdd.apply(self, attended, x, *self.out.tensors())  # type: ignore[no-untyped-call]
        return out


class _NormProjectRotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        half: AttentionHalf,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        *adapters: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        cos, sin = cos.contiguous(), sin.contiguous()
        normed, inverse = ops.rms_norm(x, half.norm.weight, half.norm.variance_epsilon)
        packed = half.qkv.pack(adapters, x.dtype)
        late = ops.rotates_with(packed) if half.q_norm is None else ()
        flat, narrow = half.qkv.forward(normed.flatten(0, 1), packed, late=late)
        q, k, v = (y.view(*x.shape[:2], -1, half.head_width) for y in flat)
        before: list[torch.Tensor | None] = [None] * 4
        if half.q_norm is not None:
            before[:2] = q, k
            q, before[2] = ops.rms_norm(q, half.q_norm.weight, half.q_norm.variance_epsilon)
            k, before[3] = ops.rms_norm(k, half.k_norm.weight, half.k_norm.variance_epsilon)
        missing = {i: (part, b) for i, part, b in half.qkv.parts(packed, narrow) if i in late}
        ops.rotate_(q, cos, sin, 1.0, missing.get(0))
        ops.rotate_(k, cos, sin, 1.0, missing.get(1))
        ctx.half = half
        keep(ctx, [packed], [x, inverse, narrow, cos, sin, *before])
        return q, k, v, x.view_as(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstreams: torch.Tensor) -> tuple[Any, ...]:
        half: AttentionHalf = ctx.half
        (packed,), tensors = kept(ctx)
        x, inverse, narrow, cos, sin, raw_q, raw_k, q_inverse, k_inverse = tensors
        d_q, d_k, d_v, around = (d.contiguous() for d in upstreams)
        ops.rotate_(d_q, cos, sin, -1.0)
        ops.rotate_(d_k, cos, sin, -1.0)
        if half.q_norm is not None:
            ops.rms_norm_backward(d_q, raw_q, q_inverse, half.q_norm.weight, out=d_q)
            ops.rms_norm_backward(d_k, raw_k, k_inverse, half.k_norm.weight, out=d_k)
        flat = [d.flatten(0, 1).flatten(1) for d in (d_q, d_k, d_v)]
        # Below the first layer there is nothing to learn: its input needs no gradient.
        found = half.qkv.input_grad(flat, packed, wanted=ctx.needs_input_grad[1])
        gradients = half.qkv.adapter_grads(
            flat,
            x.flatten(0, 1),
            narrow,
            found.narrow,
            packed,
            row_scale=inverse,
            column_scale=half.norm.weight,
        )
        if found.d_input is None:
            return (None, None, None, None, *gradients)
        normed = found.d_input.view_as(x)
        d_x = ops.rms_norm_backward(normed, x, inverse, half.norm.weight, around, out=normed)
        return (None, d_x, None, None, *gradients)


class _ProjectAdd(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        half: AttentionHalf,
        attended: torch.Tensor,
        x: torch.Tensor,
        *adapters: torch.Tensor,
    ) -> torch.Tensor:
        packed = half.out.pack(adapters, x.dtype)
        (out,), narrow = half.out.forward(attended.flatten(0, 1), packed)
        ctx.half = half
        keep(ctx, [packed], [None if packed is None else attended, narrow])
        return torch.add(out.view_as(x), x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        half: AttentionHalf = ctx.half
        (packed,), (attended, narrow) = kept(ctx)
        flat = [upstream.contiguous().flatten(0, 1)]
        found = half.out.input_grad(flat, packed)
        gradients: list[torch.Tensor] = []
        if attended is not None:
            gradients = half.out.adapter_grads(
                flat, attended.flatten(0, 1), narrow, found.narrow, packed
            )
        assert found.d_input is not None
        d_attended = found.d_input.view(*upstream.shape[:2], -1)
        return (None, d_attended, upstream, *gradients)

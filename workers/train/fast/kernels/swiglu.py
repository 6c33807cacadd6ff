"""silu(gate) * up (https://arxiv.org/abs/2002.05202) and its gradient, in place."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK = 2048


@triton.jit
def _forward(gate, up, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    g = tl.load(gate + at, mask=at < count, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=at < count, other=0.0).to(tl.float32)
    activated = (g * tl.sigmoid(g)).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + at, (activated * u).to(out.dtype.element_ty), mask=at < count)


@triton.jit
def _backward(gate, up, slope, count, PRODUCT: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(slope + at, mask=inside, other=0.0).to(tl.float32)
    opened = tl.sigmoid(g)
    activated = g * opened
    dtype = gate.dtype.element_ty
    if PRODUCT:
        tl.store(slope + at, (activated.to(dtype).to(tl.float32) * u).to(dtype), mask=inside)
    tl.store(gate + at, (d * u * (opened + activated * (1.0 - opened))).to(dtype), mask=inside)
    tl.store(up + at, (d * activated).to(dtype), mask=inside)


def swiglu(gate: torch.Tensor, up: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """As `ops.reference_swiglu`."""
    count = gate.numel()
    _forward[(triton.cdiv(count, _BLOCK),)](gate, up, out, count, _BLOCK, num_warps=8)
    return out


def swiglu_backward_(
    gate: torch.Tensor, up: torch.Tensor, slope: torch.Tensor, product: bool
) -> None:
    """As `ops.swiglu_backward_`."""
    count = gate.numel()
    _backward[(triton.cdiv(count, _BLOCK),)](gate, up, slope, count, product, _BLOCK, num_warps=8)

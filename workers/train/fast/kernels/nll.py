"""Softmax cross-entropy over rows of logits, its gradient written over the logits."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_BLOCK = 8192


@triton.jit
def _nll_rows(logits, targets, losses, stride, columns, lift, GRADIENT: tl.constexpr,
              BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    target = tl.load(targets + row)
    offsets = tl.arange(0, BLOCK)
    peak = tl.full((BLOCK,), float("-inf"), tl.float32)
    mass = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + offsets
        x = tl.load(logits + at, mask=at < columns, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(peak, x)
        # A lane that has seen nothing but -inf must not make NaN of inf - inf.
        kept = tl.where(peak == float("-inf"), 0.0, tl.exp(peak - higher))
        added = tl.where(x == float("-inf"), 0.0, tl.exp(x - higher))
        mass = mass * kept + added
        peak = higher
    top = tl.max(peak, 0)
    share = tl.where(peak == float("-inf"), 0.0, tl.exp(peak - top))
    normalizer = top + tl.log(tl.sum(mass * share, 0))
    counted = target >= 0
    wanted = tl.load(logits + tl.maximum(target, 0)).to(tl.float32)
    tl.store(losses + row, tl.where(counted, normalizer - wanted, 0.0))
    if GRADIENT:
        tl.debug_barrier()  # `wanted` is read before it is written over
        for start in range(0, columns, BLOCK):
            at = start + offsets
            x = tl.load(logits + at, mask=at < columns, other=float("-inf")).to(tl.float32)
            slope = tl.exp(x - normalizer) - tl.where(at == target, 1.0, 0.0)
            slope = tl.where(counted, slope * lift, 0.0)
            tl.store(logits + at, slope.to(logits.dtype.element_ty), mask=at < columns)


def nll_and_gradient(
    logits: torch.Tensor, targets: torch.Tensor, lift: float, gradient: bool
) -> torch.Tensor:
    """As `reference_nll_and_gradient` of `cross_entropy`, reading the logits twice."""
    rows, columns = logits.shape
    losses = torch.empty(rows, dtype=torch.float32, device=logits.device)
    _nll_rows[(rows,)](
        logits, targets, losses, logits.stride(0), columns, lift, gradient, _BLOCK, num_warps=16
    )
    return losses.sum()

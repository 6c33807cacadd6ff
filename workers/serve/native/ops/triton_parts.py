"""Sums of a product's parts: long rows cut into pieces that several programs take, then added.

Added in a fixed order by a second kernel, not by atomics: the same rows give the same bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import (
    gdc_launch_dependents,
    gdc_wait,
    launch,
    processors,
)

_BLOCK = 1024
_WAVES = 8
"""Programs a multiprocessor that are wanted: best of four on an H200, 2026-11-24."""
_MOST = 8
_FEWEST_STEPS = 4
"""Of a piece: shorter ones are not worth a second kernel."""


@triton.jit
def _sum_parts(parts, bias, out, size, wide, SPLITS: tl.constexpr, BIAS: tl.constexpr,
               BLOCK: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = tl.zeros((BLOCK,), tl.float32)
    for split in tl.static_range(SPLITS):
        total += tl.load(parts + split * size + at, mask=inside, other=0.0)
    if BIAS:
        total += tl.load(bias + at % wide, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


def pieces(programs: int, steps: int, device: torch.device) -> int:
    """Into how many pieces the `steps` of `programs` programs are cut, so that the card is busy."""
    wanted = round(_WAVES * processors(device) / programs)
    return max(1, min(wanted, steps // _FEWEST_STEPS, _MOST))


def sum_parts(parts: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
    """`out` [T, N] = the sum of `parts` [pieces, T, N] float32, plus `bias` [N]."""
    size = out.numel()
    _sum_parts[(triton.cdiv(size, _BLOCK),)](
        parts, out if bias is None else bias, out, size, out.shape[1], len(parts),
        bias is not None, _BLOCK, **launch(out), num_warps=4,
    )  # fmt: skip

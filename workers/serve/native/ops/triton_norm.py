"""RMSNorm (https://arxiv.org/abs/1910.07467), alone or behind the addition to the residual."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch

_WIDE = 2048
"""Columns from which a row gets eight warps."""


@triton.jit
def _norm(x, residual, weight, out, eps, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
          ADD: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    column = tl.arange(0, BLOCK)
    inside = column < COLUMNS
    gain = tl.load(weight + column, mask=inside, other=0.0)
    at = tl.program_id(0).to(tl.int64) * COLUMNS + column
    if OVERLAP:
        gdc_wait()
    row = tl.load(x + at, mask=inside, other=0.0)
    if ADD:
        # Rounded to 16 bits here: the sum that is normed is the one that is kept.
        row = (row.to(tl.float32) + tl.load(residual + at, mask=inside, other=0.0)).to(row.dtype)
        tl.store(residual + at, row, mask=inside)
    wide = row.to(tl.float32)
    normed = wide * tl.rsqrt(tl.sum(wide * wide, 0) / COLUMNS + eps)
    # Rounded before the gain is multiplied, as transformers does.
    scaled = normed.to(row.dtype).to(tl.float32) * gain.to(tl.float32)
    tl.store(out + at, scaled.to(out.dtype.element_ty), mask=inside)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """As `reference.rms_norm`."""
    return _run(x.contiguous(), None, weight, eps)


def add_rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `reference.add_rms_norm`."""
    return _run(x.contiguous(), residual, weight, eps), residual


def suits_rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> bool:
    """Rows of one tensor type."""
    return x.ndim == 2 and x.dtype == weight.dtype


def suits_add_rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
) -> bool:
    """Rows of one tensor type, a residual that can be written in place."""
    return suits_rms_norm(x, weight, eps) and residual.is_contiguous() and residual.dtype == x.dtype


def _run(
    x: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float
) -> torch.Tensor:
    out = torch.empty_like(x)
    rows, columns = x.shape
    _norm[(rows,)](
        x, x if residual is None else residual, weight, out, eps, columns,
        triton.next_power_of_2(columns), residual is not None, **launch(x),
        num_warps=8 if columns >= _WIDE else 4,
    )  # fmt: skip
    return out

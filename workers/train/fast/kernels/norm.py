"""RMSNorm forward and backward (https://arxiv.org/abs/1910.07467), rows of any length at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_ELEMENTS = 4096
"""A program's tile: short rows are taken several at a time."""


@triton.jit
def _forward(x, weight, out, inverse, rows, eps, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (column < COLUMNS)[None, :]
    at = row[:, None] * COLUMNS + column[None, :]
    wide = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, 1) / COLUMNS + eps)
    tl.store(inverse + row, scale, mask=row < rows)
    gain = tl.load(weight + column, mask=column < COLUMNS, other=0.0).to(tl.float32)
    # Rounded before the gain is multiplied, as transformers does.
    normed = (wide * scale[:, None]).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + at, (normed * gain[None, :]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _backward(upstream, x, inverse, weight, residual, out, rows, COLUMNS: tl.constexpr,
              RESIDUAL: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (column < COLUMNS)[None, :]
    at = row[:, None] * COLUMNS + column[None, :]
    scale = tl.load(inverse + row, mask=row < rows, other=0.0)[:, None]
    gain = tl.load(weight + column, mask=column < COLUMNS, other=0.0).to(tl.float32)
    slope = tl.load(upstream + at, mask=inside, other=0.0).to(tl.float32) * gain[None, :]
    normed = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * scale
    along = tl.sum(slope * normed, 1) / COLUMNS
    result = (slope - normed * along[:, None]) * scale
    if RESIDUAL:
        result += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `ops.reference_rms_norm`."""
    columns = x.shape[-1]
    rows = x.numel() // columns
    out = torch.empty_like(x)
    inverse = torch.empty(rows, dtype=torch.float32, device=x.device)
    a_time, block, warps = _tile(columns)
    grid = (triton.cdiv(rows, a_time),)
    _forward[grid](x, weight, out, inverse, rows, eps, columns, a_time, block, num_warps=warps)
    return out, inverse


def rms_norm_backward(
    upstream: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor | None,
    out: torch.Tensor,
) -> torch.Tensor:
    """As `ops.reference_rms_norm_backward`."""
    columns = x.shape[-1]
    rows = x.numel() // columns
    a_time, block, warps = _tile(columns)
    grid = (triton.cdiv(rows, a_time),)
    _backward[grid](
        upstream, x, inverse, weight, upstream if residual is None else residual, out, rows,
        columns, residual is not None, a_time, block, num_warps=warps,
    )  # fmt: skip
    return out


def _tile(columns: int) -> tuple[int, int, int]:
    """Rows a program, padded row length, warps."""
    block = triton.next_power_of_2(columns)
    return max(1, _ELEMENTS // block), block, 4 if block <= _ELEMENTS // 2 else 8

"""Products of a few rows with an int8 matrix that has a scale a row: weights 8 bits, sums 32.

As `triton_small_linear`, with half the bytes to read. The scale is the same along a row, so it is
multiplied once, behind the sum.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import (
    gdc_launch_dependents,
    gdc_wait,
    launch,
    stages_for,
)

FMA_ROWS = 1
ROWS = 64


@triton.jit
def _few_rows(x, weight, scale, bias, out, N, K: tl.constexpr, ROWS: tl.constexpr,
              PADDED: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
              BIAS: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = at < N
    column = tl.arange(0, BLOCK_K)
    row = tl.arange(0, PADDED)
    base = weight + at.to(tl.int64)[:, None] * K + column[None, :]
    mask = inside[:, None] & (column < K)[None, :]
    tile = tl.load(base, mask=mask, other=0, eviction_policy="evict_first")
    factor = tl.load(scale + at, mask=inside, other=0.0)
    if OVERLAP:
        gdc_wait()
    total = tl.zeros((BLOCK_N, PADDED), tl.float32)
    for k in tl.static_range(0, K, BLOCK_K):
        if k > 0:
            mask = inside[:, None] & (k + column < K)[None, :]
            tile = tl.load(base + k, mask=mask, other=0, eviction_policy="evict_first")
        wide = tile.to(tl.float32)
        for m in tl.static_range(ROWS):
            value = tl.load(x + m * K + k + column, mask=k + column < K, other=0.0)
            part = tl.sum(wide * value.to(tl.float32)[None, :], 1)
            total += tl.where((row == m)[None, :], part[:, None], 0.0)
    total *= factor[:, None]
    if BIAS:
        total += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + row[None, :] * N + at[:, None]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & (row < ROWS)[None, :])


@triton.jit
def _some_rows(x, weight, scale, bias, out, M, N, K: tl.constexpr, BLOCK_M: tl.constexpr,
               BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BIAS: tl.constexpr,
               OVERLAP: tl.constexpr):  # fmt: skip
    at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = at < N
    column = tl.arange(0, BLOCK_K)
    row = tl.arange(0, BLOCK_M)
    base = weight + at.to(tl.int64)[:, None] * K
    source = x + row[None, :] * K
    if OVERLAP:
        gdc_wait()
    total = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for k in tl.range(0, K, BLOCK_K):
        here = k + column
        tile = tl.load(base + here[None, :], mask=inside[:, None] & (here < K)[None, :], other=0,
                       eviction_policy="evict_first")  # fmt: skip
        value = tl.load(source + here[:, None], mask=(row < M)[None, :] & (here < K)[:, None],
                        other=0.0)  # fmt: skip
        total = tl.dot(tile.to(value.dtype), value, total, input_precision="ieee")
    if OVERLAP:
        gdc_launch_dependents()
    total *= tl.load(scale + at, mask=inside, other=0.0)[:, None]
    if BIAS:
        total += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + row[None, :] * N + at[:, None]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & (row < M)[None, :])


@triton.jit
def _widen(weight, scale, out, K, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    number = tl.load(weight + row * K + column, mask=column < K, other=0).to(tl.float32)
    wide = (number * tl.load(scale + row)).to(out.dtype.element_ty)
    tl.store(out + row * K + column, wide, mask=column < K)


def linear_int8(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """As `reference.linear_int8`; more than `ROWS` rows are left to the card's own library."""
    wide, deep = weight.shape
    rows = len(x)
    if rows > ROWS:
        return functional.linear(x, _widened(weight, scale, x.dtype), bias)
    out = x.new_empty(rows, wide)
    added = out if bias is None else bias
    x = x.contiguous()
    if rows <= FMA_ROWS:
        block_k = min(4096 if deep <= 4096 else 2048, triton.next_power_of_2(deep))
        block_n = 8192 // block_k if deep <= 4096 else 2
        _few_rows[(triton.cdiv(wide, block_n),)](
            x, weight, scale, added, out, wide, deep, rows, triton.next_power_of_2(rows), block_n,
            block_k, bias is not None, **launch(x), num_warps=4,
        )  # fmt: skip
    else:
        lines = max(16, triton.next_power_of_2(rows))
        step = 256 if lines < 64 else 128
        _some_rows[(triton.cdiv(wide, 32),)](
            x, weight, scale, added, out, rows, wide, deep, lines, 32, step, bias is not None,
            **launch(x), num_warps=4,
            num_stages=stages_for((2 * lines + 32) * step, x.device),
        )  # fmt: skip
    return out


def suits_linear_int8(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> bool:
    """16-bit numbers, nothing transposed."""
    return (
        x.ndim == 2
        and len(x) > 0
        and x.dtype in (torch.float16, torch.bfloat16)
        and weight.dtype == torch.int8
        and weight.is_contiguous()
        and weight.shape[1] % 16 == 0
    )


def _widened(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    wide, deep = weight.shape
    out = torch.empty(wide, deep, dtype=dtype, device=weight.device)
    _widen[(wide, triton.cdiv(deep, 1024))](weight, scale, out, deep, 1024, **launch(out))
    return out

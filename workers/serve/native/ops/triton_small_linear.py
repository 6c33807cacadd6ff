"""Products of a few rows with a 16-bit matrix, at the speed of memory.

One row reads the whole matrix once and computes next to nothing, so all that counts is how many
loads are under way. Up to `FMA_ROWS` rows each program holds whole rows of the matrix in registers
and multiplies without tensor cores; more rows go through them, the matrix's rows as the left side.
Above `ROWS` the card's own library is as fast.
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
    processors,
    stages_for,
)

FMA_ROWS = 2
ROWS = 16
_HELD = 8192
"""Weights a program holds: 64 a thread. Best of 18 tilings on an H200 for 7B shapes, 2026-11-24."""


_DEEP = 256
"""Columns a step of the tensor cores' kernel."""
_SHORT = 4096


@triton.jit
def _few_rows(x, weight, bias, out, N, K: tl.constexpr, ROWS: tl.constexpr, PADDED: tl.constexpr,
              BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BIAS: tl.constexpr,
              OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = at < N
    column = tl.arange(0, BLOCK_K)
    row = tl.arange(0, PADDED)
    base = weight + at.to(tl.int64)[:, None] * K + column[None, :]
    mask = inside[:, None] & (column < K)[None, :]
    tile = tl.load(base, mask=mask, other=0.0, eviction_policy="evict_first")
    if OVERLAP:
        gdc_wait()
    total = tl.zeros((BLOCK_N, PADDED), tl.float32)
    for k in tl.static_range(0, K, BLOCK_K):
        if k > 0:
            mask = inside[:, None] & (k + column < K)[None, :]
            tile = tl.load(base + k, mask=mask, other=0.0, eviction_policy="evict_first")
        wide = tile.to(tl.float32)
        for m in tl.static_range(ROWS):
            value = tl.load(x + m * K + k + column, mask=k + column < K, other=0.0)
            part = tl.sum(wide * value.to(tl.float32)[None, :], 1)
            total += tl.where((row == m)[None, :], part[:, None], 0.0)
    if BIAS:
        total += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + row[None, :] * N + at[:, None]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & (row < ROWS)[None, :])


@triton.jit
def _some_rows(x, weight, bias, out, M, N, K: tl.constexpr, BLOCK_M: tl.constexpr,
               BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BIAS: tl.constexpr, EVEN: tl.constexpr,
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
        if EVEN:
            tile = tl.load(base + here[None, :], eviction_policy="evict_first")
            value = tl.load(source + here[:, None], mask=(row < M)[None, :], other=0.0)
        else:
            tile = tl.load(base + here[None, :], mask=inside[:, None] & (here < K)[None, :],
                           other=0.0, eviction_policy="evict_first")  # fmt: skip
            value = tl.load(source + here[:, None], mask=(row < M)[None, :] & (here < K)[:, None],
                            other=0.0)  # fmt: skip
        total = tl.dot(tile, value, total, input_precision="ieee")
    if OVERLAP:
        gdc_launch_dependents()
    if BIAS:
        total += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + row[None, :] * N + at[:, None]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & (row < M)[None, :])


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """As `reference.linear`."""
    rows = x.shape[0]
    if rows > ROWS:
        return functional.linear(x, weight, bias)
    out = x.new_empty(rows, weight.shape[0])
    (_run_few if rows <= FMA_ROWS else _run_some)(x.contiguous(), weight, bias, out)
    return out


def suits_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """A few rows, 16-bit numbers, nothing transposed, work for all the card's processors."""
    return (
        x.ndim == 2
        and (0 < len(x) <= FMA_ROWS or (FMA_ROWS < len(x) <= ROWS and _fills(weight)))
        and x.dtype in (torch.float16, torch.bfloat16)
        and x.dtype == weight.dtype
        and weight.is_contiguous()
        and weight.shape[1] % 16 == 0
    )


def _fills(weight: torch.Tensor) -> bool:
    """Not few rows of great length, which the card's library cuts into pieces."""
    wide, deep = weight.shape
    return wide >= 16 * processors(weight.device) or deep <= _SHORT


def _run_few(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor
) -> None:
    wide, deep = weight.shape
    block_k = min(4096, triton.next_power_of_2(deep))
    block_n = _HELD // block_k
    _few_rows[(triton.cdiv(wide, block_n),)](
        x, weight, out if bias is None else bias, out, wide, deep, len(x),
        triton.next_power_of_2(len(x)), block_n, block_k, bias is not None, **launch(x),
        num_warps=4,
    )  # fmt: skip


def _run_some(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor
) -> None:
    wide, deep = weight.shape
    block_n = 32 if wide >= 16 * processors(x.device) else 16
    # Successors start late: their early programs would take shared memory from this kernel's.
    _some_rows[(triton.cdiv(wide, block_n),)](
        x, weight, out if bias is None else bias, out, len(x), wide, deep, 16, block_n, _DEEP,
        bias is not None, wide % block_n == 0 and deep % _DEEP == 0, **launch(x), num_warps=4,
        num_stages=stages_for((block_n + 16) * _DEEP * 2, x.device),
    )  # fmt: skip

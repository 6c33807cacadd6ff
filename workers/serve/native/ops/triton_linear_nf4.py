"""Products of a few rows with an NF4 matrix (https://arxiv.org/abs/2305.14314) as it is packed.

Looking 16 numbers up in memory for every weight costs more than reading the weights. On a card each
lane of a warp keeps one of them (lanes 16 to 31 the same again), and a weight is fetched from the
lane of its number: one shuffle a weight, in full precision.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch
from workers.serve.native.ops.triton_parts import pieces, sum_parts

FMA_ROWS = 2
ROWS = 64
"""Tilings: best of nine on an H200 for 7B shapes, 2026-11-24."""
_RUN = 64
"""Weights that share a scale."""


@triton.jit
def _lane_code(code, LANES: tl.constexpr):
    """The number this lane keeps. To Triton one scalar; only `_number` may look at it."""
    if LANES:
        return tl.inline_asm_elementwise(
            """{
            .reg .b32 lane;
            .reg .b64 spot;
            mov.u32 lane, %laneid;
            and.b32 lane, lane, 15;
            mad.wide.u32 spot, lane, 4, $1;
            ld.global.f32 $0, [spot];
            }""", "=f,l", [code.to(tl.int64)], dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip
    else:
        return code


@triton.jit
def _number(words, kept, SHIFT: tl.constexpr, LANES: tl.constexpr):
    """What the 4 bits from `SHIFT` on of each word stand for."""
    if LANES:
        # 0x101f: two halves of 16 lanes, the upper bits of the number are not looked at.
        return tl.inline_asm_elementwise(
            "shfl.sync.idx.b32 $0, $2, $1, 0x101f, 0xffffffff;", "=f,r,f", [words >> SHIFT, kept],
            dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip
    else:
        return tl.load(kept + ((words >> SHIFT) & 15))


@triton.jit
def _numbers(words, kept, BLOCK_N: tl.constexpr, RUNS: tl.constexpr, LANES: tl.constexpr):
    """[BLOCK_N, RUNS, 8] words to [BLOCK_N, RUNS, 64] numbers in the matrix's order."""
    # A byte has its first number in the high half. The join that is made first counts most.
    even = tl.join(
        tl.join(_number(words, kept, 4, LANES), _number(words, kept, 20, LANES)),
        tl.join(_number(words, kept, 12, LANES), _number(words, kept, 28, LANES)),
    )
    odd = tl.join(
        tl.join(_number(words, kept, 0, LANES), _number(words, kept, 16, LANES)),
        tl.join(_number(words, kept, 8, LANES), _number(words, kept, 24, LANES)),
    )
    return tl.reshape(tl.join(even, odd), (BLOCK_N, RUNS, 64))


@triton.jit
def _few_rows(x, packed, absmax, code, bias, out, N, K: tl.constexpr, ROWS: tl.constexpr,
              PADDED: tl.constexpr, BLOCK_N: tl.constexpr, RUNS: tl.constexpr, BIAS: tl.constexpr,
              LANES: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = at < N
    run = tl.arange(0, RUNS)
    row = tl.arange(0, PADDED)
    word = run[None, :, None] * 8 + tl.arange(0, 8)[None, None, :]
    base = packed + at.to(tl.int64)[:, None, None] * (K // 8) + word
    scale_at = absmax + at.to(tl.int64)[:, None] * (K // 64) + run[None, :]
    column = run[:, None] * 64 + tl.arange(0, 64)[None, :]
    kept = _lane_code(code, LANES)
    mask = inside[:, None] & (run < K // 64)[None, :]
    words = tl.load(base, mask=mask[:, :, None], other=0, eviction_policy="evict_first")
    scales = tl.load(scale_at, mask=mask, other=0.0)
    if OVERLAP:
        gdc_wait()
    total = tl.zeros((BLOCK_N, RUNS, PADDED), tl.float32)
    for k in tl.range(0, K // 64, RUNS):
        mask = inside[:, None] & (k + RUNS + run < K // 64)[None, :]
        next_words = tl.load(base + (k + RUNS) * 8, mask=mask[:, :, None], other=0,
                             eviction_policy="evict_first")  # fmt: skip
        next_scales = tl.load(scale_at + k + RUNS, mask=mask, other=0.0)
        numbers = _numbers(words, kept, BLOCK_N, RUNS, LANES)
        for m in tl.static_range(ROWS):
            value = tl.load(x + m * K + k * 64 + column, mask=(k + run < K // 64)[:, None],
                            other=0.0).to(tl.float32)  # fmt: skip
            part = tl.sum(numbers * value[None, :, :], 2) * scales
            total += tl.where((row == m)[None, None, :], part[:, :, None], 0.0)
        words, scales = next_words, next_scales
    result = tl.sum(total, 1)
    if BIAS:
        result += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + row[None, :] * N + at[:, None]
    tl.store(to, result.to(out.dtype.element_ty), mask=inside[:, None] & (row < ROWS)[None, :])


@triton.jit
def _some_rows(x, packed, absmax, code, bias, out, M, N, K: tl.constexpr, BLOCK_M: tl.constexpr,
               BLOCK_N: tl.constexpr, RUNS: tl.constexpr, PIECE: tl.constexpr, BIAS: tl.constexpr,
               LANES: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    at = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = at < N
    first = tl.program_id(1) * PIECE
    last = tl.minimum(first + PIECE, K // 64)
    run = tl.arange(0, RUNS)
    row = tl.arange(0, BLOCK_M)
    word = run[None, :, None] * 8 + tl.arange(0, 8)[None, None, :]
    base = packed + at.to(tl.int64)[:, None, None] * (K // 8) + word
    scale_at = absmax + at.to(tl.int64)[:, None] * (K // 64) + run[None, :]
    column = tl.arange(0, RUNS * 64)
    source = x + row[None, :] * K + column[:, None]
    kept = _lane_code(code, LANES)
    mask = inside[:, None] & (first + run < last)[None, :]
    words = tl.load(base + first * 8, mask=mask[:, :, None], other=0, eviction_policy="evict_first")
    scales = tl.load(scale_at + first, mask=mask, other=0.0)
    if OVERLAP:
        gdc_wait()
    total = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for k in tl.range(first, last, RUNS):
        mask = inside[:, None] & (k + RUNS + run < last)[None, :]
        next_words = tl.load(base + (k + RUNS) * 8, mask=mask[:, :, None], other=0,
                             eviction_policy="evict_first")  # fmt: skip
        next_scales = tl.load(scale_at + k + RUNS, mask=mask, other=0.0)
        there = (row < M)[None, :] & (k * 64 + column < last * 64)[:, None]
        value = tl.load(source + k * 64, mask=there, other=0.0)
        weight = _numbers(words, kept, BLOCK_N, RUNS, LANES) * scales[:, :, None]
        tile = tl.reshape(weight.to(value.dtype), (BLOCK_N, RUNS * 64))
        total = tl.dot(tile, value, total, input_precision="ieee")
        words, scales = next_words, next_scales
    if BIAS:
        total += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)[:, None]
    to = out + tl.program_id(1).to(tl.int64) * M * N + row[None, :] * N + at[:, None]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & (row < M)[None, :])


def linear_nf4(
    x: torch.Tensor,
    packed: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """As `reference.linear_nf4`, up to `ROWS` rows."""
    out = x.new_empty(len(x), shape[0])
    run = _run_few if len(x) <= FMA_ROWS else _run_some
    run(x.contiguous(), packed.view(torch.int32), absmax, code, shape, bias, out)
    return out


def suits_linear_nf4(
    x: torch.Tensor,
    packed: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    bias: torch.Tensor | None = None,
) -> bool:
    """A few rows of 16-bit numbers; no run of weights crosses the end of the matrix's row."""
    return (
        x.ndim == 2
        and 0 < x.shape[0] <= ROWS
        and x.dtype in (torch.float16, torch.bfloat16)
        and code.dtype == absmax.dtype == torch.float32
        and shape[1] % _RUN == 0
        and packed.is_contiguous()
        and packed.data_ptr() % 16 == 0
    )


def _run_few(
    x: torch.Tensor,
    words: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    bias: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    wide, deep = shape
    block, runs = (8, 16) if len(x) > 1 else (4, 64) if deep <= 64 * _RUN else (8, 32)
    runs = min(runs, triton.next_power_of_2(deep // _RUN))
    _few_rows[(triton.cdiv(wide, block),)](
        x, words, absmax, code, out if bias is None else bias, out, wide, deep, len(x),
        triton.next_power_of_2(len(x)), block, runs, bias is not None, _on_card(x), **launch(x),
        num_warps=4,
    )  # fmt: skip


def _run_some(
    x: torch.Tensor,
    words: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    bias: torch.Tensor | None,
    out: torch.Tensor,
) -> None:
    wide, deep = shape
    rows, block, runs = len(x), 64, 4
    programs, steps = triton.cdiv(wide, block), triton.cdiv(deep, runs * _RUN)
    splits = pieces(programs, steps, x.device)
    piece = triton.cdiv(steps, splits) * runs
    splits = triton.cdiv(deep // _RUN, piece)
    whole = splits == 1
    to = out if whole else x.new_empty(splits, rows, wide, dtype=torch.float32)
    _some_rows[(programs, splits)](
        x, words, absmax, code, out if bias is None else bias, to, rows, wide, deep,
        max(16, triton.next_power_of_2(rows)), block, runs, piece, whole and bias is not None,
        _on_card(x), **launch(x), num_warps=4, num_stages=2,
    )  # fmt: skip
    if not whole:
        sum_parts(to, bias, out)


def _on_card(x: torch.Tensor) -> bool:
    """Lanes can be asked for each other's numbers: not so on Triton's interpreter."""
    return x.is_cuda

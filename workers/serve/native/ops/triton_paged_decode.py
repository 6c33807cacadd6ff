"""Attention of rows that write one token, over their pages (https://arxiv.org/abs/2309.06180).

A row's context is cut into as many pieces as the launch has programs a head
(https://crfm.stanford.edu/2023/10/12/flashdecoding.html); how many tokens a piece has is found out
on the card, so a recorded graph is right for every length, and programs without a piece end at
once. Pieces are put together by a second, short kernel.

Queries that share a key head are the rows of one product, padded to the 16 that tensor cores take.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.batch import StepBatch
from workers.serve.native.ops.triton_launch import (
    gdc_launch_dependents,
    gdc_wait,
    launch,
    processors,
    shared_bytes,
)

_LOG2_E = tl.constexpr(1.4426950408889634)
LEAST = 64
"""Tokens below which a context is not cut further."""
_WAVES = 8
"""Programs a multiprocessor that are wanted."""
_LONGEST = 4096
"""Tokens of the longest piece, so that a long row among short ones does not hold all up."""
_FEW, _MOST = 16, 64
"""Pieces."""


# Numbers that change from pass to pass are not compiled in: a request never waits for a compiler.
@triton.jit(do_not_specialize=["splits", "table_stride"])
def _pieces(q, keys, values, table, lens, starts, out, parts, tops, scale, table_stride,
            splits, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr,
            WIDTH: tl.constexpr, PAGE: tl.constexpr, WHOLE: tl.constexpr, ROWS: tl.constexpr,
            BLOCK: tl.constexpr, LEAST: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    kv_head = tl.program_id(0)
    batch_row = tl.program_id(1)
    split = tl.program_id(2)
    token = tl.load(starts + batch_row)
    context = tl.load(lens + batch_row)
    alone = tl.load(starts + batch_row + 1) - token == 1
    piece = tl.maximum(tl.cdiv(tl.cdiv(context, splits), BLOCK) * BLOCK, LEAST)
    first = split * piece
    last = tl.minimum(first + piece, context)
    if alone & ((first < last) | (split == 0)):
        row = tl.arange(0, ROWS)
        lane = tl.arange(0, WIDTH)
        spot = tl.arange(0, BLOCK)
        head = kv_head * GROUP + row
        ours = row < GROUP
        query_at = token.to(tl.int64) * HEADS * WIDTH + head[:, None] * WIDTH + lane[None, :]
        query = tl.load(q + query_at, mask=ours[:, None], other=0.0)
        table_row = table + batch_row.to(tl.int64) * table_stride
        top = tl.full((ROWS,), float("-inf"), tl.float32)
        weight = tl.zeros((ROWS,), tl.float32)
        total = tl.zeros((ROWS, WIDTH), tl.float32)
        for begin in tl.range(first, last, BLOCK):
            at = begin + spot
            seen = at < last
            page = tl.load(table_row + at // PAGE, mask=seen, other=0).to(tl.int64)
            slot = (page * PAGE + at % PAGE) * (KV_HEADS * WIDTH) + kv_head * WIDTH
            key = tl.load(keys + slot[None, :] + lane[:, None], mask=seen[None, :], other=0.0)
            score = tl.dot(query, key, input_precision="ieee") * (scale * _LOG2_E)
            score = tl.where(seen[None, :], score, float("-inf"))
            higher = tl.maximum(top, tl.max(score, 1))
            fade = tl.exp2(top - higher)
            chance = tl.exp2(score - higher[:, None])
            weight = weight * fade + tl.sum(chance, 1)
            value = tl.load(values + slot[:, None] + lane[None, :], mask=seen[:, None], other=0.0)
            total = tl.dot(chance.to(value.dtype), value, total * fade[:, None],
                           input_precision="ieee")  # fmt: skip
            top = higher
        # A padding row of a recorded graph has no context: zeros.
        some = weight > 0
        weight = tl.where(some, weight, 1.0)
        total = total / weight[:, None]
        if WHOLE:
            tl.store(out + query_at, total.to(out.dtype.element_ty), mask=ours[:, None])
        else:
            part = (batch_row.to(tl.int64) * HEADS + head) * splits + split
            tl.store(parts + part[:, None] * WIDTH + lane[None, :], total, mask=ours[:, None])
            tl.store(tops + part, tl.where(some, top, 0.0) + tl.log2(weight), mask=ours)


@triton.jit(do_not_specialize=["splits"])
def _join(parts, tops, lens, starts, out, splits, HEADS: tl.constexpr, WIDTH: tl.constexpr,
          PADDED: tl.constexpr, BLOCK: tl.constexpr, LEAST: tl.constexpr,
          OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    head = tl.program_id(0)
    batch_row = tl.program_id(1).to(tl.int64)
    token = tl.load(starts + batch_row)
    context = tl.load(lens + batch_row)
    if tl.load(starts + batch_row + 1) - token == 1:
        piece = tl.maximum(tl.cdiv(tl.cdiv(context, splits), BLOCK) * BLOCK, LEAST)
        split = tl.arange(0, PADDED)
        lane = tl.arange(0, WIDTH)
        there = (split < splits) & ((split * piece < context) | (split == 0))
        at = (batch_row * HEADS + head) * splits + split
        top = tl.load(tops + at, mask=there, other=float("-inf"))
        share = tl.exp2(top - tl.max(top, 0))
        part = tl.load(parts + at[:, None] * WIDTH + lane[None, :], mask=there[:, None], other=0.0)
        whole = tl.sum(part * share[:, None], 0) / tl.sum(share, 0)
        to = out + (token.to(tl.int64) * HEADS + head) * WIDTH + lane
        tl.store(
            to,
            whole.to(out.dtype.element_ty),
        )


def decode(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    batch: StepBatch,
    scale: float,
    out: torch.Tensor,
) -> None:
    """Attention of the rows of `batch` with one new token, written to `out` [T, heads, D].

    Arguments as in `reference.paged_attention`; other rows of `out` are left alone.
    """
    _, heads, width = q.shape
    _, page, kv_heads, _ = keys.shape
    splits = pieces(batch.rows * kv_heads, batch.page_table.shape[1] * page, q.device)
    group = heads // kv_heads
    rows = max(16, triton.next_power_of_2(group))
    many = splits == 1 and rows == 16 and width <= 128
    block, stages, warps = _tile(width * q.element_size(), shared_bytes(q.device), many)
    parts = tops = out
    if splits > 1:
        parts = q.new_empty(batch.rows, heads, splits, width, dtype=torch.float32)
        tops = q.new_empty(batch.rows, heads, splits, dtype=torch.float32)
    _pieces[(kv_heads, batch.rows, splits)](
        q, keys, values, batch.page_table, batch.context_lens, batch.query_starts, out, parts,
        tops, scale, batch.page_table.stride(0), splits, heads, kv_heads, group, width, page,
        splits == 1, rows, block, LEAST, **launch(q), num_warps=warps, num_stages=stages,
    )  # fmt: skip
    if splits > 1:
        join(parts, tops, batch, out, block)


def join(
    parts: torch.Tensor, tops: torch.Tensor, batch: StepBatch, out: torch.Tensor, block: int
) -> None:
    """Put the pieces of the rows with one new token together.

    Args:
        parts: [R, heads, pieces, D] float32, what each piece gave.
        tops: [R, heads, pieces] float32, the logarithm (base 2) of what each weighs.
        batch: says which pieces there are.
        out: [T, heads, D].
        block: tokens that pieces are made of.
    """
    _, heads, splits, width = parts.shape
    _join[(heads, batch.rows)](
        parts, tops, batch.context_lens, batch.query_starts, out, splits, heads, width,
        _FEW if splits <= _FEW else _MOST, block, LEAST, **launch(out),
        num_warps=8 if splits > _FEW and width > 128 else 4,
    )  # fmt: skip


def pieces(programs: int, longest: int, device: torch.device) -> int:
    """Into how many pieces contexts of up to `longest` tokens are cut: from shapes alone.

    Args:
        programs: how many there are without cutting.
        longest: tokens that a row's page table can name.
        device: of the launch.
    """
    wanted = -(-_WAVES * processors(device) // programs)
    fair = -(-longest // _LONGEST)
    most = min(_MOST, -(-longest // LEAST))
    return max(1, min(max(wanted, fair), most))


def _tile(row_bytes: int, shared: int, many: bool) -> tuple[int, int, int]:
    """Tokens a step, steps loaded ahead, warps: best of eleven on an H200, 2026-11-24.

    Where there are many programs, small ones hide each other's waiting best.
    """
    for block, stages, warps in ((32, 2, 1) if many else (64, 2, 4), (32, 2, 4), (32, 1, 4)):
        if 2 * block * row_bytes * stages <= 0.8 * shared:
            return block, stages, warps
    return 16, 1, 4

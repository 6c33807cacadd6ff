"""Attention of prompts (or bites of them) over pages, ragged rows packed behind each other.

Flash attention (https://arxiv.org/abs/2205.14135) with the causal edge at the end of each row's
context. The queries that share a key head lie in one tile: each key is read once for all of them.
A launch has a program for every tile there could be; which row a program serves it finds itself.
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
    shared_bytes,
)

_LOG2_E = tl.constexpr(1.4426950408889634)
_LONG = 768
"""New tokens from which a prompt's tiles are large."""
_MOST_BYTES = 160 << 10
"""Of shared memory a program; more would not fit into the registers."""


@triton.jit
def find_row(starts, number, rows, ROWS: tl.constexpr, TOKENS: tl.constexpr):
    """Row that tile `number` belongs to, and which of its tiles it is.

    Row r has its first tile at `starts[r] // TOKENS + r`; some numbers are nobody's, theirs is a
    tile behind the row's end.
    """
    row = tl.arange(0, ROWS)
    start = tl.load(starts + row, mask=row < rows, other=0)
    before = (start // TOKENS + row <= number) & (row < rows)
    found = tl.sum(before.to(tl.int32), 0) - 1
    return found, number - (tl.load(starts + found) // TOKENS + found)


@triton.jit
def _step(query, keys, values, table_row, begin, context, kv_head, edge, scale, top, weight, total,
          KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
          MASKED: tl.constexpr):  # fmt: skip
    lane = tl.arange(0, WIDTH)
    at = begin + tl.arange(0, BLOCK)
    if MASKED:
        page = tl.load(table_row + at // PAGE, mask=at < context, other=0).to(tl.int64)
    else:
        page = tl.load(table_row + at // PAGE).to(tl.int64)
    slot = (page * PAGE + at % PAGE) * (KV_HEADS * WIDTH) + kv_head * WIDTH
    if MASKED:
        key = tl.load(keys + slot[None, :] + lane[:, None], mask=(at < context)[None, :], other=0.0)
    else:
        key = tl.load(keys + slot[None, :] + lane[:, None])
    score = tl.dot(query, key, input_precision="ieee") * scale
    if MASKED:
        score = tl.where(at[None, :] <= edge[:, None], score, float("-inf"))
    higher = tl.maximum(top, tl.max(score, 1))
    fade = tl.exp2(top - higher)
    chance = tl.exp2(score - higher[:, None])
    weight = weight * fade + tl.sum(chance, 1)
    if MASKED:
        value = tl.load(values + slot[:, None] + lane[None, :], mask=(at < context)[:, None],
                        other=0.0)  # fmt: skip
    else:
        value = tl.load(values + slot[:, None] + lane[None, :])
    total = tl.dot(chance.to(value.dtype), value, total * fade[:, None], input_precision="ieee")
    return higher, weight, total


# Numbers that change from pass to pass are not compiled in: a request never waits for a compiler.
@triton.jit(do_not_specialize=["table_stride", "rows"])
def _prefill(q, keys, values, table, lens, starts, out, scale, table_stride, rows,
             HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr, WIDTH: tl.constexpr,
             PAGE: tl.constexpr, PADDED: tl.constexpr, BLOCK_M: tl.constexpr, TOKENS: tl.constexpr,
             BLOCK: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    # The last tiles of a row see the most and come first.
    number = tl.num_programs(0) - 1 - tl.program_id(0)
    kv_head = tl.program_id(1)
    row, tile = find_row(starts, number, rows, PADDED, TOKENS)
    begin = tl.load(starts + row)
    new = tl.load(starts + row + 1) - begin
    if (new > 1) & (tile * TOKENS < new):
        context = tl.load(lens + row)
        line = tl.arange(0, BLOCK_M)
        lane = tl.arange(0, WIDTH)
        token = tile * TOKENS + line // GROUP
        head = kv_head * GROUP + line % GROUP
        ours = (token < new) & (line < TOKENS * GROUP)
        query_at = ((begin + token).to(tl.int64) * HEADS + head)[:, None] * WIDTH + lane[None, :]
        query = tl.load(q + query_at, mask=ours[:, None], other=0.0)
        table_row = table + row.to(tl.int64) * table_stride
        edge = context - new + tl.minimum(token, new - 1)
        top = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        weight = tl.zeros((BLOCK_M,), tl.float32)
        total = tl.zeros((BLOCK_M, WIDTH), tl.float32)
        scale *= _LOG2_E
        # All of the tile's queries see what lies before its first one.
        clear = (context - new + tile * TOKENS + 1) // BLOCK * BLOCK
        end = tl.minimum(context, context - new + (tile + 1) * TOKENS)
        for at in tl.range(0, clear, BLOCK):
            top, weight, total = _step(
                query, keys, values, table_row, at, context, kv_head, edge, scale, top, weight,
                total, KV_HEADS, WIDTH, PAGE, BLOCK, False,
            )  # fmt: skip
        for at in tl.range(clear, end, BLOCK):
            top, weight, total = _step(
                query, keys, values, table_row, at, context, kv_head, edge, scale, top, weight,
                total, KV_HEADS, WIDTH, PAGE, BLOCK, True,
            )  # fmt: skip
        total = total / weight[:, None]
        tl.store(out + query_at, total.to(out.dtype.element_ty), mask=ours[:, None])


def padded_rows(rows: int) -> int:
    """Length of the vectors in which tiles look for their row: few values, so few kernels."""
    return max(128, int(triton.next_power_of_2(rows)))


def prefill(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    batch: StepBatch,
    scale: float,
    out: torch.Tensor,
) -> None:
    """Attention of the rows of `batch` with several new tokens, written to `out` [T, heads, D].

    Arguments as in `reference.paged_attention`; other rows of `out` are left alone.
    """
    tokens, heads, width = q.shape
    _, page, kv_heads, _ = keys.shape
    group = heads // kv_heads
    lines, block, stages = _tile(
        width * q.element_size(), shared_bytes(q.device), group, min(batch.max_query, tokens)
    )
    a_tile = max(1, lines // group)
    _prefill[(tokens // a_tile + batch.rows, kv_heads)](
        q, keys, values, batch.page_table, batch.context_lens, batch.query_starts, out, scale,
        batch.page_table.stride(0), batch.rows, heads, kv_heads, group, width, page,
        padded_rows(batch.rows), lines, a_tile, block, **launch(q), num_stages=stages,
        num_warps=8 if width > 128 else 4,
    )  # fmt: skip


def _tile(row_bytes: int, shared: int, group: int, longest: int) -> tuple[int, int, int]:
    """Lines of queries, tokens a step, steps loaded ahead: best on an H200, 2026-11-24."""
    long = longest > _LONG
    best = (64 if group == 1 and not long else 128, 32 if group > 1 and not long else 64, 3)
    for lines, block, stages in (best, (64, 64, 2), (64, 32, 2), (32, 32, 1)):
        if (lines + 2 * block * stages) * row_bytes <= min(0.9 * shared, _MOST_BYTES):
            return lines, block, stages
    return 16, 16, 1

"""Attention over compressed keys and values (DeepSeek-V2, V3: https://arxiv.org/abs/2405.04434).

All heads share one key a token, and the value is the key's first part: a tile of lines, each a head
of a token, reads the pages once for all. Rows that write have their context cut into pieces, as in
`triton_paged_decode`, and the same second kernel puts them together.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.batch import StepBatch
from workers.serve.native.ops import triton_paged_decode as split
from workers.serve.native.ops.triton_launch import (
    gdc_launch_dependents,
    gdc_wait,
    launch,
    shared_bytes,
)
from workers.serve.native.ops.triton_paged_prefill import find_row, padded_rows

_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit(do_not_specialize=["table_stride", "rows", "splits"])
def _latent(q, latents, table, lens, starts, out, parts, tops, scale, table_stride, rows,
            splits, HEADS: tl.constexpr, RANK: tl.constexpr, ROPE: tl.constexpr, PAGE: tl.constexpr,
            PADDED: tl.constexpr, LINES: tl.constexpr, AT_ONCE: tl.constexpr, TOKENS: tl.constexpr,
            WHOLE: tl.constexpr, BLOCK: tl.constexpr, LEAST: tl.constexpr, DECODE: tl.constexpr,
            OVERLAP: tl.constexpr):  # fmt: skip
    """`LINES` lines: `TOKENS` tokens of `AT_ONCE` heads each."""
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    piece_number = tl.program_id(2)
    if DECODE:
        row = tl.program_id(0)
        tile = 0
    else:
        row, tile = find_row(
            starts, tl.num_programs(0) - 1 - tl.program_id(0), rows, PADDED, TOKENS
        )
    begin = tl.load(starts + row)
    new = tl.load(starts + row + 1) - begin
    context = tl.load(lens + row)
    end = tl.minimum(context, context - new + (tile + 1) * TOKENS)
    piece = tl.maximum(tl.cdiv(tl.cdiv(context, splits), BLOCK) * BLOCK, LEAST)
    if DECODE:
        first = piece_number * piece
        last = tl.minimum(first + piece, context)
        mine = (new == 1) & ((first < last) | (piece_number == 0))
    else:
        first = 0
        last = end
        mine = (new > 1) & (tile * TOKENS < new)
    if mine:
        line = tl.arange(0, LINES)
        lane = tl.arange(0, RANK)
        rope = tl.arange(0, ROPE)
        token = tile * TOKENS + line // AT_ONCE
        head = tl.program_id(1) * AT_ONCE + line % AT_ONCE
        ours = (token < new) & (line < TOKENS * AT_ONCE) & (head < HEADS)
        query_line = (begin + token).to(tl.int64) * HEADS + head
        query = q + query_line[:, None] * (RANK + ROPE)
        compressed = tl.load(query + lane[None, :], mask=ours[:, None], other=0.0)
        rotated = tl.load(query + RANK + rope[None, :], mask=ours[:, None], other=0.0)
        table_row = table + row.to(tl.int64) * table_stride
        edge = context - new + tl.minimum(token, new - 1)
        top = tl.full((LINES,), float("-inf"), tl.float32)
        weight = tl.zeros((LINES,), tl.float32)
        total = tl.zeros((LINES, RANK), tl.float32)
        for start in tl.range(first, last, BLOCK):
            at = start + tl.arange(0, BLOCK)
            seen = at < last
            page = tl.load(table_row + at // PAGE, mask=seen, other=0).to(tl.int64)
            slot = (page * PAGE + at % PAGE) * (RANK + ROPE)
            latent = tl.load(latents + slot[:, None] + lane[None, :], mask=seen[:, None], other=0.0)
            turned = tl.load(latents + RANK + slot[None, :] + rope[:, None], mask=seen[None, :],
                             other=0.0)  # fmt: skip
            score = tl.dot(compressed, tl.trans(latent), input_precision="ieee")
            score = tl.dot(rotated, turned, score, input_precision="ieee") * (scale * _LOG2_E)
            visible = seen[None, :] & (at[None, :] <= edge[:, None])
            score = tl.where(visible, score, float("-inf"))
            higher = tl.maximum(top, tl.max(score, 1))
            fade = tl.exp2(top - higher)
            chance = tl.exp2(score - higher[:, None])
            weight = weight * fade + tl.sum(chance, 1)
            total = tl.dot(chance.to(latent.dtype), latent, total * fade[:, None],
                           input_precision="ieee")  # fmt: skip
            top = higher
        some = weight > 0
        weight = tl.where(some, weight, 1.0)
        total = total / weight[:, None]
        if WHOLE:
            to = out + query_line[:, None] * RANK + lane[None, :]
            tl.store(to, total.to(out.dtype.element_ty), mask=ours[:, None])
        else:
            part = (row.to(tl.int64) * HEADS + head) * splits + piece_number
            tl.store(parts + part[:, None] * RANK + lane[None, :], total, mask=ours[:, None])
            tl.store(tops + part, tl.where(some, top, 0.0) + tl.log2(weight), mask=ours)


def latent_attention(
    q: torch.Tensor, latents: torch.Tensor, batch: StepBatch, scale: float, rank: int
) -> torch.Tensor:
    """As `reference.latent_attention`."""
    out = q.new_empty(*q.shape[:2], rank)
    if batch.max_query > 1:
        _prefill(q, latents, batch, scale, out)
    if batch.max_query == 1 or batch.rows > 1:
        _decode(q, latents, batch, scale, out)
    return out


def suits_latent_attention(
    q: torch.Tensor, latents: torch.Tensor, batch: StepBatch, scale: float, rank: int
) -> bool:
    """Widths that are powers of two, everything contiguous and of one type."""
    rope = latents.shape[-1] - rank
    powers = all(w >= 16 and w & (w - 1) == 0 for w in (rank, rope))
    return (
        powers
        and q.dtype == latents.dtype
        and all(t.is_contiguous() for t in (q, latents, batch.page_table))
    )


def _decode(
    q: torch.Tensor, latents: torch.Tensor, batch: StepBatch, scale: float, out: torch.Tensor
) -> None:
    heads, rank = out.shape[1:]
    lines, block, stages = _tile(latents.shape[-1], q.element_size(), shared_bytes(q.device), 16)
    groups = triton.cdiv(heads, lines)
    longest = batch.page_table.shape[1] * latents.shape[1]
    splits = split.pieces(batch.rows * groups, longest, q.device)
    parts = tops = out
    if splits > 1:
        parts = q.new_empty(batch.rows, heads, splits, rank, dtype=torch.float32)
        tops = q.new_empty(batch.rows, heads, splits, dtype=torch.float32)
    _run(
        (batch.rows, groups, splits), q, latents, batch, scale, out, parts, tops,
        lines, lines, 1, splits, block, stages, decode=True,
    )  # fmt: skip
    if splits > 1:
        split.join(parts, tops, batch, out, block)


def _prefill(
    q: torch.Tensor, latents: torch.Tensor, batch: StepBatch, scale: float, out: torch.Tensor
) -> None:
    tokens, heads, _ = out.shape
    lines, block, stages = _tile(latents.shape[-1], q.element_size(), shared_bytes(q.device), 64)
    at_once = min(lines, triton.next_power_of_2(heads))
    a_tile = lines // at_once
    grid = (tokens // a_tile + batch.rows, triton.cdiv(heads, at_once), 1)
    _run(
        grid, q, latents, batch, scale, out, out, out, lines, at_once, a_tile, 1, block, stages,
        decode=False,
    )  # fmt: skip


def _run(
    grid: tuple[int, int, int],
    q: torch.Tensor,
    latents: torch.Tensor,
    batch: StepBatch,
    scale: float,
    out: torch.Tensor,
    parts: torch.Tensor,
    tops: torch.Tensor,
    lines: int,
    at_once: int,
    tokens: int,
    splits: int,
    block: int,
    stages: int,
    *,
    decode: bool,
) -> None:
    heads, rank = out.shape[1:]
    _, page, width = latents.shape
    _latent[grid](
        q, latents, batch.page_table, batch.context_lens, batch.query_starts, out, parts, tops,
        scale, batch.page_table.stride(0), batch.rows, splits, heads, rank, width - rank, page,
        padded_rows(batch.rows), lines, at_once, tokens, splits == 1, block, split.LEAST,
        decode, **launch(q), num_warps=8 if lines > 16 else 4,
        num_stages=stages,
    )  # fmt: skip


def _tile(width: int, item_bytes: int, shared: int, most: int) -> tuple[int, int, int]:
    """Lines, tokens a step, steps loaded ahead, by what shared memory holds."""
    for lines, block, stages in ((64, 32, 2), (32, 32, 2), (16, 32, 3), (16, 32, 2), (16, 32, 1)):
        held = (lines if lines > 16 else 0) + block * stages
        if lines <= most and held * width * item_bytes <= 0.9 * shared:
            return lines, block, stages
    return 16, 16, 1

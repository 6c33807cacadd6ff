"""Routed experts in two kernels that never ask the host who goes where.

Tokens are sorted by expert; a tile is some tokens of one expert, and tiles find their expert by
themselves, so the shapes depend on how many tokens there are, never on the routing: passes can be
recorded. torch's grouped product does so for bf16 on Hopper and later cards, which keep it; on
others it counts on the host and multiplies expert by expert.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch
from workers.serve.native.ops.triton_paged_prefill import find_row, padded_rows

_GROUPED_BY_TORCH = (9, 0)
_FEW, _MANY = 16, 64
"""Tokens a tile."""


@triton.jit
def _tile(starts, order, EXPERTS: tl.constexpr, PADDED: tl.constexpr, LINES: tl.constexpr):
    """(expert, its lines of the sorted order, which of them are real, their places before)."""
    expert, tile = find_row(starts, tl.program_id(1), EXPERTS, PADDED, LINES)
    end = tl.load(starts + expert + 1)
    line = tl.load(starts + expert) + tile * LINES + tl.arange(0, LINES)
    ours = line < end
    return expert.to(tl.int64), line, ours, tl.load(order + line, mask=ours, other=0)


@triton.jit
def _widen(x, weight, starts, order, out, EXPERTS: tl.constexpr, CHOSEN: tl.constexpr,
           HIDDEN: tl.constexpr, FAN: tl.constexpr, PADDED: tl.constexpr, LINES: tl.constexpr,
           BLOCK: tl.constexpr, DEEP: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    """`silu(gate) * up` of each (token, expert), in sorted order."""
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    expert, line, ours, pair = _tile(starts, order, EXPERTS, PADDED, LINES)
    if tl.sum(ours.to(tl.int32), 0) > 0:
        column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = (column < FAN)[None, :]
        source = x + (pair // CHOSEN)[:, None] * HIDDEN
        base = weight + expert * (2 * FAN * HIDDEN) + column.to(tl.int64)[None, :] * HIDDEN
        gate = tl.zeros((LINES, BLOCK), tl.float32)
        up = tl.zeros((LINES, BLOCK), tl.float32)
        for k in tl.range(0, HIDDEN, DEEP):
            lane = k + tl.arange(0, DEEP)
            here = lane < HIDDEN
            rows = tl.load(source + lane[None, :], mask=ours[:, None] & here[None, :], other=0.0)
            mask = here[:, None] & inside
            left = tl.load(base + lane[:, None], mask=mask, other=0.0)
            right = tl.load(base + FAN * HIDDEN + lane[:, None], mask=mask, other=0.0)
            gate = tl.dot(rows, left, gate, input_precision="ieee")
            up = tl.dot(rows, right, up, input_precision="ieee")
        made = gate / (1.0 + tl.exp(-gate)) * up
        to = out + line.to(tl.int64)[:, None] * FAN + column[None, :]
        tl.store(to, made.to(out.dtype.element_ty), mask=ours[:, None] & inside)


@triton.jit
def _narrow(x, weight, starts, order, shares, out, EXPERTS: tl.constexpr, HIDDEN: tl.constexpr,
            FAN: tl.constexpr, PADDED: tl.constexpr, LINES: tl.constexpr, BLOCK: tl.constexpr,
            DEEP: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    """Back to the hidden width, times the share of the expert, to where the pair stood."""
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    expert, line, ours, pair = _tile(starts, order, EXPERTS, PADDED, LINES)
    if tl.sum(ours.to(tl.int32), 0) > 0:
        column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = (column < HIDDEN)[None, :]
        source = x + line.to(tl.int64)[:, None] * FAN
        base = weight + expert * (FAN * HIDDEN) + column.to(tl.int64)[None, :] * FAN
        total = tl.zeros((LINES, BLOCK), tl.float32)
        for k in tl.range(0, FAN, DEEP):
            lane = k + tl.arange(0, DEEP)
            here = lane < FAN
            rows = tl.load(source + lane[None, :], mask=ours[:, None] & here[None, :], other=0.0)
            part = tl.load(base + lane[:, None], mask=here[:, None] & inside, other=0.0)
            total = tl.dot(rows, part, total, input_precision="ieee")
        share = tl.load(shares + pair, mask=ours, other=0.0).to(tl.float32)
        to = out + pair[:, None] * HIDDEN + column[None, :]
        tl.store(to, total * share[:, None], mask=ours[:, None] & inside)


def routed_experts(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    shares: torch.Tensor,
    experts: torch.Tensor,
) -> torch.Tensor:
    """As `reference.routed_experts`."""
    (tokens, hidden), (count, _, fan), chosen = x.shape, down.shape, experts.shape[1]
    sorted_experts, order = torch.sort(experts.flatten())
    every = torch.arange(count + 1, device=x.device, dtype=experts.dtype)
    starts = torch.searchsorted(sorted_experts, every, out_int32=True)
    pairs = tokens * chosen
    lines = _FEW if pairs <= _FEW * count else _MANY
    tiles, padded = pairs // lines + count, padded_rows(count)
    deep = 64 if x.element_size() == 2 else 32
    more = {**launch(x), "num_warps": 4, "num_stages": 3 if x.element_size() == 2 else 2}
    inner = x.new_empty(pairs, fan)
    _widen[(triton.cdiv(fan, 64), tiles)](
        x, gate_up, starts, order, inner, count, chosen, hidden, fan, padded, lines, 64, deep,
        **more,
    )  # fmt: skip
    out = x.new_empty(tokens, chosen, hidden, dtype=torch.float32)
    _narrow[(triton.cdiv(hidden, 64), tiles)](
        inner, down, starts, order, shares.contiguous(), out, count, hidden, fan, padded, lines,
        64, deep, **more,
    )  # fmt: skip
    return out.sum(1).to(x.dtype)


def suits_routed_experts(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    shares: torch.Tensor,
    experts: torch.Tensor,
) -> bool:
    """Where torch's own grouped product would ask the host; all of one type, contiguous."""
    grouped = torch.cuda.get_device_capability(x.device) >= _GROUPED_BY_TORCH
    if grouped and x.dtype == torch.bfloat16:
        return False
    one_type = x.dtype == gate_up.dtype == down.dtype and x.dtype.is_floating_point
    return one_type and all(t.is_contiguous() for t in (x, gate_up, down))

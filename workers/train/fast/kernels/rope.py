"""Rotary position embedding (https://arxiv.org/abs/2104.09864) in place, both ways; and with an
adapter's part added on the way.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _rotate(x, cos, sin, angle_rows, sign, HEADS: tl.constexpr, HALF: tl.constexpr,
            HEAD_BLOCK: tl.constexpr, HALF_BLOCK: tl.constexpr):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEAD_BLOCK)
    lane = tl.arange(0, HALF_BLOCK)
    angle = (token % angle_rows) * (2 * HALF) + lane
    c = tl.load(cos + angle, mask=lane < HALF, other=0.0).to(tl.float32)[None, :]
    s = tl.load(sin + angle, mask=lane < HALF, other=0.0).to(tl.float32)[None, :] * sign
    inside = (head < HEADS)[:, None] & (lane < HALF)[None, :]
    low = x + token * (HEADS * 2 * HALF) + head[:, None] * (2 * HALF) + lane[None, :]
    a = tl.load(low, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(low + HALF, mask=inside, other=0.0).to(tl.float32)
    tl.store(low, (a * c - b * s).to(x.dtype.element_ty), mask=inside)
    tl.store(low + HALF, (b * c + a * s).to(x.dtype.element_ty), mask=inside)


@triton.jit
def _add_and_rotate(x, cos, sin, narrow, b, tokens, angle_rows, sign, narrow_stride,
                    HEADS: tl.constexpr, HALF: tl.constexpr, RANK: tl.constexpr,
                    TOKENS: tl.constexpr, HALF_BLOCK: tl.constexpr):  # fmt: skip
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)
    head = tl.program_id(1)
    lane = tl.arange(0, HALF_BLOCK)
    rank = tl.arange(0, RANK)
    here = (token < tokens)[:, None]
    inside = here & (lane < HALF)[None, :]
    part = tl.load(narrow + token[:, None] * narrow_stride + rank[None, :], mask=here, other=0.0)
    # s B of this head, turned: (rank, lanes), first and second half.
    factor = b + (head * 2 * HALF + lane)[None, :] * RANK + rank[:, None]
    factor_low = tl.load(factor, mask=(lane < HALF)[None, :], other=0.0)
    factor_high = tl.load(factor + HALF * RANK, mask=(lane < HALF)[None, :], other=0.0)
    angle = (token % angle_rows)[:, None] * (2 * HALF) + lane[None, :]
    c = tl.load(cos + angle, mask=inside, other=0.0).to(tl.float32)
    s = tl.load(sin + angle, mask=inside, other=0.0).to(tl.float32) * sign
    low = x + token[:, None] * (HEADS * 2 * HALF) + head * (2 * HALF) + lane[None, :]
    first = tl.load(low, mask=inside, other=0.0).to(tl.float32) + tl.dot(part, factor_low)
    second = tl.load(low + HALF, mask=inside, other=0.0).to(tl.float32) + tl.dot(part, factor_high)
    tl.store(low, (first * c - second * s).to(x.dtype.element_ty), mask=inside)
    tl.store(low + HALF, (second * c + first * s).to(x.dtype.element_ty), mask=inside)


def add_and_rotate_(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    sign: float,
    narrow: torch.Tensor,
    b: torch.Tensor,
) -> torch.Tensor:
    """`rotate_` of x + narrow @ b.T, one pass over `x`; ranks are 16, 32 or 64."""
    tokens = x.shape[0] * x.shape[1]
    heads, width = x.shape[2:]
    block = max(16, triton.next_power_of_2(width // 2))
    _add_and_rotate[(triton.cdiv(tokens, 64), heads)](
        x, cos, sin, narrow, b, tokens, cos.shape[0] * cos.shape[1], sign, narrow.stride(0),
        heads, width // 2, b.shape[1], 64, block, num_warps=4,
    )  # fmt: skip
    return x


def rotate_(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: float) -> torch.Tensor:
    """As `ops.reference_rotate_`."""
    tokens = x.shape[0] * x.shape[1]
    heads, width = x.shape[2:]
    blocks = triton.next_power_of_2(heads), triton.next_power_of_2(width // 2)
    _rotate[(tokens,)](
        x, cos, sin, cos.shape[0] * cos.shape[1], sign, heads, width // 2, *blocks, num_warps=4
    )
    return x

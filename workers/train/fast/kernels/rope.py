"""Rotary position embedding (https://arxiv.org/abs/2104.09864) in place, both ways."""

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


def rotate_(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: float) -> torch.Tensor:
    """As `ops.reference_rotate_`."""
    tokens = x.shape[0] * x.shape[1]
    heads, width = x.shape[2:]
    blocks = triton.next_power_of_2(heads), triton.next_power_of_2(width // 2)
    _rotate[(tokens,)](
        x, cos, sin, cos.shape[0] * cos.shape[1], sign, heads, width // 2, *blocks, num_warps=4
    )
    return x

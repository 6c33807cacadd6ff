"""Rotary positions for queries and keys (https://arxiv.org/abs/2104.09864), keys and values stored.

One launch does what stands between the projection and attention: head norms where a model has them,
rotation, and the way of keys and values into their pages.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch

_AT_ONCE = 8
"""Heads a program."""


@triton.jit
def _rope_store(qkv, cos_sin, positions, slots, keys, values, q_norm, k_norm, out, eps,
                HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr,
                HALF: tl.constexpr, AT_ONCE: tl.constexpr, NORMS: tl.constexpr,
                OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    lane = tl.arange(0, HALF)
    inside = (head < HEADS + 2 * KV_HEADS)[:, None] & (lane < WIDTH // 2)[None, :]
    at = qkv + token * ((HEADS + 2 * KV_HEADS) * WIDTH) + head[:, None] * WIDTH + lane[None, :]
    left = tl.load(at, mask=inside, other=0.0)
    right = tl.load(at + WIDTH // 2, mask=inside, other=0.0)
    kind = left.dtype
    is_query = (head < HEADS)[:, None]
    is_value = (head >= HEADS + KV_HEADS)[:, None]
    first, second = left.to(tl.float32), right.to(tl.float32)
    if NORMS:
        square = tl.sum(first * first, 1) + tl.sum(second * second, 1)
        scale = tl.rsqrt(square / WIDTH + eps)[:, None]
        some = (lane < WIDTH // 2)[None, :]
        of_q = is_query & some
        of_k = (~is_query) & some
        gain = tl.load(q_norm + lane[None, :] + 0 * head[:, None], mask=of_q, other=0.0) + tl.load(
            k_norm + lane[None, :] + 0 * head[:, None], mask=of_k, other=0.0)  # fmt: skip
        more = tl.load(
            q_norm + WIDTH // 2 + lane[None, :] + 0 * head[:, None], mask=of_q, other=0.0
        ) + tl.load(k_norm + WIDTH // 2 + lane[None, :] + 0 * head[:, None], mask=of_k, other=0.0)
        first = ((first * scale).to(kind).to(tl.float32) * gain.to(tl.float32)).to(kind)
        second = ((second * scale).to(kind).to(tl.float32) * more.to(tl.float32)).to(kind)
        first, second = first.to(tl.float32), second.to(tl.float32)
    angle = cos_sin + tl.load(positions + token) * WIDTH + lane
    cos = tl.load(angle, mask=lane < WIDTH // 2, other=0.0)[None, :]
    sin = tl.load(angle + WIDTH // 2, mask=lane < WIDTH // 2, other=0.0)[None, :]
    new_left = tl.where(is_value, left, (first * cos - second * sin).to(kind))
    new_right = tl.where(is_value, right, (second * cos + first * sin).to(kind))
    to = out + token * (HEADS * WIDTH) + head[:, None] * WIDTH + lane[None, :]
    tl.store(to, new_left, mask=inside & is_query)
    tl.store(to + WIDTH // 2, new_right, mask=inside & is_query)
    slot = tl.load(slots + token) * (KV_HEADS * WIDTH) + lane[None, :]
    key = keys + slot + (head[:, None] - HEADS) * WIDTH
    is_key = inside & (~is_query) & (~is_value)
    tl.store(key, new_left.to(keys.dtype.element_ty), mask=is_key)
    tl.store(key + WIDTH // 2, new_right.to(keys.dtype.element_ty), mask=is_key)
    value = values + slot + (head[:, None] - HEADS - KV_HEADS) * WIDTH
    tl.store(value, new_left.to(values.dtype.element_ty), mask=inside & is_value)
    tl.store(value + WIDTH // 2, new_right.to(values.dtype.element_ty), mask=inside & is_value)


def rope_and_store(
    qkv: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    heads: int,
    kv_heads: int,
    q_norm: torch.Tensor | None = None,
    k_norm: torch.Tensor | None = None,
    eps: float = 1e-6,
) -> torch.Tensor:
    """As `reference.rope_and_store`."""
    tokens, width = len(qkv), keys.shape[-1]
    out = qkv.new_empty(tokens, heads, width)
    half = triton.next_power_of_2(width // 2)
    _rope_store[(tokens, triton.cdiv(heads + 2 * kv_heads, _AT_ONCE))](
        qkv, cos_sin, positions, slots, keys, values,
        qkv if q_norm is None else q_norm, qkv if k_norm is None else k_norm, out, eps,
        heads, kv_heads, width, half, _AT_ONCE, q_norm is not None, **launch(qkv),
        num_warps=4,
    )  # fmt: skip
    return out


def suits_rope_and_store(
    qkv: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    heads: int,
    kv_heads: int,
    q_norm: torch.Tensor | None = None,
    k_norm: torch.Tensor | None = None,
    eps: float = 1e-6,
) -> bool:
    """Contiguous, the whole head rotated, both head norms or none."""
    whole = all(t.is_contiguous() for t in (qkv, cos_sin, keys, values))
    return whole and cos_sin.shape[-1] == keys.shape[-1] and (q_norm is None) == (k_norm is None)

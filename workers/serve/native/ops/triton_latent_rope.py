"""What stands between the projections and latent attention: two launches instead of some twenty.

One norms a token's latent, turns its key and puts both into their slot; one turns the queries and
joins them to what was absorbed (https://arxiv.org/abs/2405.04434, section 2.1 and appendix C).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch

_AT_ONCE = 4
"""Heads a program."""


@triton.jit
def _turned(at, cos_sin, position, pair, mask, ROPE: tl.constexpr, INTERLEAVED: tl.constexpr):
    """Both members of the pairs behind `at`, rotated, in float32."""
    if INTERLEAVED:
        first = tl.load(at + 2 * pair, mask=mask, other=0.0).to(tl.float32)
        second = tl.load(at + 2 * pair + 1, mask=mask, other=0.0).to(tl.float32)
    else:
        first = tl.load(at + pair, mask=mask, other=0.0).to(tl.float32)
        second = tl.load(at + ROPE // 2 + pair, mask=mask, other=0.0).to(tl.float32)
    angle = cos_sin + position * ROPE + pair
    cos = tl.load(angle, mask=pair < ROPE // 2, other=0.0)
    sin = tl.load(angle + ROPE // 2, mask=pair < ROPE // 2, other=0.0)
    return first * cos - second * sin, second * cos + first * sin


@triton.jit
def _store(given, gain, cos_sin, positions, slots, latents, eps, stride, RANK: tl.constexpr,
           ROPE: tl.constexpr, BLOCK: tl.constexpr, PAIRS: tl.constexpr,
           INTERLEAVED: tl.constexpr, OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
    lane = tl.arange(0, BLOCK)
    inside = lane < RANK
    scale = tl.load(gain + lane, mask=inside, other=0.0).to(tl.float32)
    if OVERLAP:
        gdc_wait()
    token = tl.program_id(0).to(tl.int64)
    row = given + token * stride
    latent = tl.load(row + lane, mask=inside, other=0.0)
    wide = latent.to(tl.float32)
    normed = wide * tl.rsqrt(tl.sum(wide * wide, 0) / RANK + eps)
    # Rounded before the gain is multiplied, as transformers does.
    kept = normed.to(latent.dtype).to(tl.float32) * scale
    kind = latents.dtype.element_ty
    to = latents + tl.load(slots + token) * (RANK + ROPE)
    tl.store(to + lane, kept.to(latent.dtype).to(kind), mask=inside)
    pair = tl.arange(0, PAIRS)
    some = pair < ROPE // 2
    position = tl.load(positions + token)
    first, second = _turned(row + RANK, cos_sin, position, pair, some, ROPE, INTERLEAVED)
    tl.store(to + RANK + pair, first.to(latent.dtype).to(kind), mask=some)
    tl.store(to + RANK + ROPE // 2 + pair, second.to(latent.dtype).to(kind), mask=some)


@triton.jit
def _join(absorbed, q, cos_sin, positions, out, absorbed_token, absorbed_head, q_token, q_head,
          HEADS: tl.constexpr, RANK: tl.constexpr, ROPE: tl.constexpr, BLOCK: tl.constexpr,
          PAIRS: tl.constexpr, AT_ONCE: tl.constexpr, INTERLEAVED: tl.constexpr,
          OVERLAP: tl.constexpr):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()
        gdc_wait()
    token = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)).to(tl.int64)[:, None]
    lane = tl.arange(0, BLOCK)[None, :]
    to = out + (token * HEADS + head) * (RANK + ROPE)
    inside = (head < HEADS) & (lane < RANK)
    at = absorbed + token * absorbed_token + head * absorbed_head + lane
    tl.store(to + lane, tl.load(at, mask=inside, other=0.0), mask=inside)
    pair = tl.arange(0, PAIRS)[None, :]
    some = (head < HEADS) & (pair < ROPE // 2)
    position = tl.load(positions + token)
    line = q + token * q_token + head * q_head
    first, second = _turned(line, cos_sin, position, pair, some, ROPE, INTERLEAVED)
    kind = out.dtype.element_ty
    tl.store(to + RANK + pair, first.to(kind), mask=some)
    tl.store(to + RANK + ROPE // 2 + pair, second.to(kind), mask=some)


def latent_store(
    given: torch.Tensor,
    gain: torch.Tensor,
    eps: float,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    latents: torch.Tensor,
    interleaved: bool,
) -> None:
    """As `reference.latent_store`."""
    rank, rope = len(gain), cos_sin.shape[-1]
    _store[(len(given),)](
        given, gain, cos_sin, positions, slots, latents, eps, given.stride(0), rank, rope,
        triton.next_power_of_2(rank), triton.next_power_of_2(rope // 2), interleaved,
        **launch(given), num_warps=4,
    )  # fmt: skip


def suits_latent_store(
    given: torch.Tensor,
    gain: torch.Tensor,
    eps: float,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    latents: torch.Tensor,
    interleaved: bool,
) -> bool:
    """Rows that may stand in wider ones; everything else contiguous."""
    whole = all(t.is_contiguous() for t in (gain, cos_sin, latents))
    return whole and given.stride(1) == 1 and given.dtype == gain.dtype


def latent_queries(
    absorbed: torch.Tensor,
    q: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    interleaved: bool,
) -> torch.Tensor:
    """As `reference.latent_queries`."""
    (tokens, heads, rank), rope = absorbed.shape, q.shape[-1]
    out = absorbed.new_empty(tokens, heads, rank + rope)
    _join[(tokens, triton.cdiv(heads, _AT_ONCE))](
        absorbed, q, cos_sin, positions, out, absorbed.stride(0), absorbed.stride(1), q.stride(0),
        q.stride(1), heads, rank, rope, triton.next_power_of_2(rank),
        triton.next_power_of_2(rope // 2), _AT_ONCE, interleaved, **launch(q), num_warps=4,
    )  # fmt: skip
    return out


def suits_latent_queries(
    absorbed: torch.Tensor,
    q: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    interleaved: bool,
) -> bool:
    """Heads and tokens may lie anywhere, a head's numbers behind each other."""
    return absorbed.stride(2) == q.stride(2) == 1 and cos_sin.is_contiguous()

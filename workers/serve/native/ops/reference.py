"""Every operation of the native engine in plain torch: any device; kernels must agree with it.

Shapes: T new tokens of R rows packed behind each other, H the hidden width, D the width of a head.
Pools are `[pages, page_size, kv_heads, D]`; token t of the pass lives at `slots[t]` of the pool
seen as `[pages * page_size, kv_heads, D]`. Page 0 is nobody's: padding rows write and read there.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as functional

from workers.serve.native.batch import RowSpan, StepBatch, spans_to_runs
from workers.train.attention import attend

_NOBODY = torch.nn.Identity()
"""The module that transformers would name."""
NF4_BLOCK = 64
"""4-bit weights that share a scale."""


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Scale rows of `x` [T, H] to unit mean square, then by `weight` [H].

    https://arxiv.org/abs/1910.07467; rounded to 16 bits before `weight`, as transformers does.
    """
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return weight * normed.to(x.dtype)


def add_rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`residual += x` in place, and the norm of the sum.

    Returns:
        (normed [T, H], residual).
    """
    residual += x
    return rms_norm(residual, weight, eps), residual


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
    """Turn queries and keys by their positions, and put keys and values into their slots.

    Args:
        qkv: [T, (heads + 2 * kv_heads) * D], what the fused projection gave.
        cos_sin: [positions, D] float32, cosines in the first half, sines in the second. The halves
            of a head are rotated against each other (https://arxiv.org/abs/2104.09864 in the
            arrangement of transformers).
        positions: [T] int64.
        slots: [T] int64.
        keys: pool of one layer, written in place.
        values: pool of one layer, written in place.
        heads: query heads.
        kv_heads: key and value heads.
        q_norm: [D], norms each query head first (Qwen3).
        k_norm: [D], norms each key head first.
        eps: of these norms.

    Returns:
        Queries [T, heads, D].
    """
    width = keys.shape[-1]
    q, k, v = torch.split(qkv.view(len(qkv), -1, width), [heads, kv_heads, kv_heads], dim=1)
    if q_norm is not None:
        q = rms_norm(q, q_norm, eps)
    if k_norm is not None:
        k = rms_norm(k, k_norm, eps)
    cos, sin = cos_sin[positions][:, None].chunk(2, dim=-1)
    flat_keys, flat_values = keys.flatten(0, 1), values.flatten(0, 1)
    flat_keys.index_copy_(0, slots, _rotate(k, cos, sin).to(keys.dtype))
    flat_values.index_copy_(0, slots, v.to(values.dtype))
    return _rotate(q, cos, sin)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x.dtype)


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up` of [T, 2F], gates in the first half: [T, F]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def paged_attention(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> torch.Tensor:
    """Attention of new tokens over their row's pages, themselves included.

    A row's last query sees all of its context, the one before it one less, and so on.

    Args:
        q: [T, heads, D].
        keys: pool of one layer.
        values: pool of one layer.
        batch: says which rows and pages; their new keys and values are in the pool already.
        scale: of the products before softmax.

    Returns:
        [T, heads * D].
    """
    if batch.rows_on_host is None and batch.max_query == 1:
        return _decode_by_table(q, keys, values, batch, scale)
    if q.is_cuda and not any(row.start for row in host_rows(batch, keys.shape[1])):
        return fresh_prompts(q, keys, values, batch, scale)
    out = torch.empty_like(q)
    flat_keys, flat_values = keys.flatten(0, 1), values.flatten(0, 1)
    start = 0
    for row in host_rows(batch, keys.shape[1]):
        end = start + row.length
        if start == end:
            continue
        k, v = read_runs(flat_keys, row.runs), read_runs(flat_values, row.runs)
        out[start:end] = _attend_row(q[start:end], k, v, scale)
        start = end
    return out.flatten(1)


def fresh_prompts(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> torch.Tensor:
    """`paged_attention` of rows that have nothing but their new tokens.

    By torch's own kernel for ragged rows, where it has one for the card.
    """
    k, v = keys.flatten(0, 1)[batch.slots], values.flatten(0, 1)[batch.slots]
    q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
    out, _ = attend(
        _NOBODY,
        q,
        k,
        v,
        attention_mask=None,
        scaling=scale,
        cu_seq_lens_q=batch.query_starts,
        max_length_q=batch.max_query,
    )
    return out[0].flatten(1)


def host_rows(batch: StepBatch, page_size: int) -> list[RowSpan]:
    """The batch's rows as the host knows them; asks the device once a batch if nobody said."""
    if batch.rows_on_host is None:
        starts = batch.query_starts.tolist()
        lengths = [end - start for start, end in pairwise(starts)]
        contexts = batch.context_lens.tolist()
        tables = batch.page_table.tolist()
        batch.rows_on_host = [
            RowSpan(table, context - new, new, spans_to_runs(table, context, page_size))
            for table, context, new in zip(tables, contexts, lengths, strict=True)
        ]
    return batch.rows_on_host


def read_runs(pool: torch.Tensor, runs: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Slots of a flat pool [slots, ...]: a view where they lie behind each other, else a copy."""
    parts = [pool[first : first + count] for first, count in runs]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_row(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """One row: `q` [n, heads, D] against `k` and `v` [context, kv_heads, D]."""
    new, heads, kv_heads = len(q), q.shape[1], k.shape[1]
    k, v = k.transpose(0, 1)[None], v.transpose(0, 1)[None]
    if new == 1:
        # The queries that share a key head are its queries: nothing is repeated, nothing masked.
        grouped = q.view(1, kv_heads, heads // kv_heads, -1)
        out = functional.scaled_dot_product_attention(grouped, k, v, scale=scale)
        return out.reshape(1, heads, -1)
    whole = new == k.shape[2]
    mask = None if whole else _bite_mask(new, k.shape[2], q.device)
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k,
        v,
        attn_mask=mask,
        is_causal=whole,
        scale=scale,
        enable_gqa=heads != kv_heads,
    )
    return out[0].transpose(0, 1)


@lru_cache(maxsize=4)
def _bite_mask(new: int, context: int, device: torch.device) -> torch.Tensor:
    """Which of `context` keys each of the last `new` tokens sees: [new, context]."""
    seen = torch.ones(new, context, dtype=torch.bool, device=device)
    return seen.tril_(context - new)


def _decode_by_table(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> torch.Tensor:
    """All rows at once through a gather of their pages and a mask of their lengths; no host."""
    rows, heads, width = q.shape
    pages = -(-batch.max_context // keys.shape[1])
    table = batch.page_table[:, :pages].long()
    kv_heads = keys.shape[2]
    k = keys[table].view(rows, -1, kv_heads, width).transpose(1, 2)
    v = values[table].view(rows, -1, kv_heads, width).transpose(1, 2)
    at = torch.arange(k.shape[2], device=q.device)
    seen = (at < batch.context_lens[:, None])[:, None, None]
    grouped = q.view(rows, kv_heads, heads // kv_heads, width)
    out = functional.scaled_dot_product_attention(grouped, k, v, attn_mask=seen, scale=scale)
    return out.reshape(rows, heads * width)


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
    """Put normed latents with their turned keys behind them into their slots.

    Args:
        given: [T, rank + rope], may be part of wider rows.
        gain: [rank], of the norm.
        eps: of the norm.
        cos_sin: [positions, rope] float32, cosines in the first half, sines in the second.
        positions: [T] int64.
        slots: [T] int64.
        latents: [pages, page_size, rank + rope] of one layer, written in place.
        interleaved: numbers that are turned together stand side by side, not half a head apart.
    """
    latent, key = torch.split(given, [len(gain), cos_sin.shape[-1]], dim=1)
    cos, sin = cos_sin[positions].chunk(2, dim=-1)
    stored = torch.cat((rms_norm(latent, gain, eps), _turn(key, cos, sin, interleaved)), dim=-1)
    latents.flatten(0, 1).index_copy_(0, slots, stored.to(latents.dtype))


def latent_queries(
    absorbed: torch.Tensor,
    q: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    interleaved: bool,
) -> torch.Tensor:
    """Absorbed queries [T, heads, rank] with the turned `q` [T, heads, rope] behind them.

    Other arguments as in `latent_store`.

    Returns:
        [T, heads, rank + rope].
    """
    cos, sin = cos_sin[positions][:, None].chunk(2, dim=-1)
    return torch.cat((absorbed, _turn(q, cos, sin, interleaved)), dim=-1)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, interleaved: bool) -> torch.Tensor:
    """All first members before all second ones, however they stood: products stay the same."""
    if not interleaved:
        return _rotate(x, cos, sin)
    return _rotate(torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1), cos, sin)


def latent_attention(
    q: torch.Tensor, latents: torch.Tensor, batch: StepBatch, scale: float, rank: int
) -> torch.Tensor:
    """Attention of absorbed queries over compressed keys and values (DeepSeek-V2, V3).

    All heads share one key a token, its latent with the rotated part behind; the value is the
    latent alone (https://arxiv.org/abs/2405.04434, section 2.1).

    Args:
        q: [T, heads, rank + rope].
        latents: [pages, page_size, rank + rope] of one layer.
        batch: as in `paged_attention`.
        scale: of the products before softmax.
        rank: width of the latent.

    Returns:
        [T, heads, rank].
    """
    out = q.new_empty(*q.shape[:2], rank)
    start = 0
    for row in host_rows(batch, latents.shape[1]):
        end = start + row.length
        if start == end:
            continue
        known = read_runs(latents.flatten(0, 1), row.runs).float()
        scores = torch.einsum("nhd,cd->hnc", q[start:end].float(), known) * scale
        if row.length > 1:
            seen = _bite_mask(row.length, len(known), q.device)
            scores.masked_fill_(~seen, float("-inf"))
        out[start:end] = torch.einsum("hnc,cr->nhr", scores.softmax(-1), known[:, :rank])
        start = end
    return out


def routed_experts(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    shares: torch.Tensor,
    experts: torch.Tensor,
) -> torch.Tensor:
    """Gated MLPs of which each token passes some (https://arxiv.org/abs/2401.06066).

    Args:
        x: [T, H].
        gate_up: [E, 2F, H], gates in the first half.
        down: [E, H, F].
        shares: [T, k], what the chosen experts' answers are multiplied with.
        experts: [T, k] int64, which ones.

    Returns:
        [T, H].
    """
    out = x.new_zeros(x.shape, dtype=torch.float32)
    for expert in torch.unique(experts).tolist():
        token, place = torch.where(experts == expert)
        inner = silu_mul(functional.linear(x[token], gate_up[expert]))
        made = functional.linear(inner, down[expert]).float() * shares[token, place, None].float()
        out.index_add_(0, token, made)
    return out.to(x.dtype)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x` [T, K] times `weight` [N, K] transposed, plus `bias` [N]."""
    return functional.linear(x, weight, bias)


def linear_int8(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """As `linear` with `weight` int8 [N, K] and a float32 `scale` [N] a row.

    Activations stay as they are: finer than LLM.int8 (https://arxiv.org/abs/2208.07339), which
    rounds them too.
    """
    return functional.linear(x, dequantize_int8(weight, scale, x.dtype), bias)


def dequantize_int8(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[N, K] in `dtype`, rounded once."""
    wide = torch.empty(weight.shape, dtype=dtype, device=weight.device)
    return torch.mul(weight, scale[:, None], out=wide)


def linear_nf4(
    x: torch.Tensor,
    packed: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """As `linear` with a weight in NF4 (https://arxiv.org/abs/2305.14314).

    Args:
        x: [T, K].
        packed: uint8 [N * K / 2]: two weights a byte, the first in the high half.
        absmax: float32 [N * K / 64]: scale of each run of `NF4_BLOCK` weights.
        code: float32 [16]: what the 4-bit numbers stand for.
        shape: (N, K).
        bias: [N].
    """
    return functional.linear(x, dequantize_nf4(packed, absmax, code, shape, x.dtype), bias)


def dequantize_nf4(
    packed: torch.Tensor,
    absmax: torch.Tensor,
    code: torch.Tensor,
    shape: tuple[int, int],
    dtype: torch.dtype,
) -> torch.Tensor:
    """[N, K] in `dtype`, rounded once."""
    numbers = torch.stack((packed >> 4, packed & 15), dim=-1)
    blocks = code[numbers.int()].view(-1, NF4_BLOCK) * absmax[:, None]
    return blocks.to(dtype).view(shape)

"""DeepSeek-V2 and V3: multi-head latent attention and routed experts.

The cache holds one latent and one rotated key a token, for all heads (https://arxiv.org/abs/2405.04434,
section 2.1). The matrices that would widen a latent to keys and values are applied to the queries
and to what comes out instead ("absorbed", ibid. appendix C), so nothing is widened a cached token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.linears import Lora, Projection, widen
from workers.serve.native.models import Part, Unsuited
from workers.serve.native.models.experts import mlp_of
from workers.serve.native.models.stack import (
    Layer,
    PreNormModel,
    check_layers,
    parts_of,
    rope_table,
)
from workers.serve.native.pool import KvLayout, KvPool

_LAYERS = frozenset({"DeepseekV2DecoderLayer", "DeepseekV3DecoderLayer"})
_KV = "kv_a_proj_with_mqa"


class Absorbed:
    """`kv_b_proj`, from a latent to a head's key and value, used from the other side.

    Looks like a `Projection` to adapters. Always in the dtype that is computed in: a matrix in few
    bits is widened, once, and its few bits are let go.
    """

    def __init__(self, module: Any, heads: int, key_width: int, dtype: torch.dtype) -> None:
        self.inputs = int(module.in_features)
        self.sizes: tuple[int, ...] = (int(module.out_features),)
        self.device = next(module.parameters()).device
        self.lora: Lora | None = None
        self._heads, self._key_width = heads, key_width
        try:
            by_head = self._by_head(widen(module, dtype))
        except TypeError as e:
            raise Unsuited(f"kv_b_proj of type {e}") from e
        self._to_key, self._to_value = by_head[:, :key_width], by_head[:, key_width:]

    def of_queries(self, q: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """[T, heads, key width] to [T, heads, rank]: what a latent is multiplied with."""
        made = torch.einsum("thk,hkr->thr", q, self._to_key)
        if chosen is None or self.lora is None:
            return made
        narrow = torch.einsum("thk,hkc->thc", q, self._widening(self.lora)[:, : self._key_width])
        return made + _kept(narrow, chosen) @ self.lora.a.flatten(0, 1)

    def of_outputs(self, out: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """[T, heads, rank], latents by their weights, to [T, heads * value width]."""
        made = torch.einsum("thr,hvr->thv", out, self._to_value)
        if chosen is not None and self.lora is not None:
            narrow = _kept(out @ self.lora.a.flatten(0, 1).t(), chosen)
            widening = self._widening(self.lora)[:, self._key_width :]
            made = made + torch.einsum("thc,hvc->thv", narrow, widening)
        return made.flatten(1)

    def _widening(self, lora: Lora) -> torch.Tensor:
        return self._by_head(lora.b.flatten(1))

    def _by_head(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.view(self._heads, -1, rows.shape[-1])


def _kept(narrow: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """[T, heads, slots * columns], of which a token keeps its adapter's columns."""
    tokens, heads, _ = narrow.shape
    by_slot = narrow.view(tokens, heads, chosen.shape[1], -1)
    return torch.where(chosen[:, None, :, None], by_slot, 0.0).flatten(2)


class LatentAttention:
    """Multi-head latent attention over the latents themselves."""

    def __init__(
        self, attention: Any, number: int, cos_sin: torch.Tensor, *, interleaved: bool
    ) -> None:
        self._number, self._cos_sin, self._interleaved = number, cos_sin, interleaved
        self._scale = float(attention.scaling)
        self.heads = int(attention.num_heads)
        self.rank, self.rotated = int(attention.kv_lora_rank), int(attention.qk_rope_head_dim)
        self._plain = int(attention.qk_nope_head_dim)
        first = "q_proj" if attention.q_lora_rank is None else "q_a_proj"
        self._first_names = (first, _KV)
        self._first = Projection([getattr(attention, name) for name in self._first_names])
        self._q_norm = None if attention.q_lora_rank is None else attention.q_a_layernorm
        self._q_up = None if attention.q_lora_rank is None else Projection([attention.q_b_proj])
        self._kv_norm = attention.kv_a_layernorm
        dtype = self._kv_norm.weight.dtype
        self._up = Absorbed(attention.kv_b_proj, self.heads, self._plain, dtype)
        self.out = Projection([attention.o_proj])

    def attend(
        self, normed: torch.Tensor, batch: StepBatch, pool: KvPool, chosen: torch.Tensor | None
    ) -> torch.Tensor:
        """See `Attention`."""
        latents = pool.latents[self._number]
        both = self._first(normed, chosen)
        width, norm = self._first.sizes[0], self._kv_norm
        ops.latent_store(
            both[:, width:],
            norm.weight,
            norm.variance_epsilon,
            self._cos_sin,
            batch.positions,
            batch.slots,
            latents,
            self._interleaved,
        )
        q = self._queries(both[:, :width], chosen).view(len(both), self.heads, -1)
        still, turning = torch.split(q, [self._plain, self.rotated], dim=-1)
        absorbed = self._up.of_queries(still, chosen)
        q = ops.latent_queries(absorbed, turning, self._cos_sin, batch.positions, self._interleaved)
        out = ops.latent_attention(q, latents, batch, self._scale, self.rank)
        return self._up.of_outputs(out, chosen)

    def linears(self) -> Iterator[tuple[str, Part]]:
        """See `Attention`."""
        yield from parts_of("self_attn", self._first_names, self._first)
        if self._q_up is not None:
            yield from parts_of("self_attn", ("q_b_proj",), self._q_up)
        yield from parts_of("self_attn", ("kv_b_proj",), self._up)
        yield from parts_of("self_attn", ("o_proj",), self.out)

    def _queries(self, q: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        if self._q_up is None or self._q_norm is None:
            return q
        norm = self._q_norm
        normed = ops.rms_norm(q.contiguous(), norm.weight, norm.variance_epsilon)
        return self._q_up(normed, chosen)


def take_over(model: Any, positions: int) -> PreNormModel:
    """See `models.take_over`."""
    check_layers(model, _LAYERS)
    inner, config = model.model, model.config
    interleaved = config.model_type == "deepseek_v2" or bool(config.rope_interleave)
    table = rope_table(inner.rotary_emb, positions, inner.embed_tokens.weight.device)
    layers = [
        Layer(
            layer,
            LatentAttention(layer.self_attn, number, table, interleaved=interleaved),
            mlp_of(layer.mlp, inner.embed_tokens.weight),
        )
        for number, layer in enumerate(inner.layers)
    ]
    width = config.kv_lora_rank + config.qk_rope_head_dim
    dtype = inner.embed_tokens.weight.dtype
    layout = KvLayout(layers=len(layers), dtype=dtype, latent_width=width)
    return PreNormModel(model, layers, layout)

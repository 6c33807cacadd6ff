"""Llama, Mistral, Qwen2 and Qwen3: grouped-query attention and a gated MLP, or routed experts.

Repeats the arithmetic of transformers' modules of these names over packed tokens and a paged
cache. Their weights are taken over: queries, keys and values fused, gate and up fused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.linears import Projection
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

_LAYERS = frozenset(
    {
        "LlamaDecoderLayer",
        "MistralDecoderLayer",
        "Qwen2DecoderLayer",
        "Qwen2MoeDecoderLayer",
        "Qwen3DecoderLayer",
        "Qwen3MoeDecoderLayer",
    }
)
_QKV = ("q_proj", "k_proj", "v_proj")


class GroupedQueryAttention:
    """Queries that share key and value heads (https://arxiv.org/abs/2305.13245)."""

    def __init__(self, attention: Any, number: int, cos_sin: torch.Tensor) -> None:
        self.qkv = Projection([getattr(attention, name) for name in _QKV])
        self.out = Projection([attention.o_proj])
        self.heads = self.qkv.sizes[0] // attention.head_dim
        self.kv_heads = self.qkv.sizes[1] // attention.head_dim
        self._number, self._cos_sin = number, cos_sin
        self._scale = float(attention.scaling)
        q_norm, k_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
        self._q_norm = None if q_norm is None else q_norm.weight
        self._k_norm = None if k_norm is None else k_norm.weight
        self._eps = 0.0 if q_norm is None else float(q_norm.variance_epsilon)

    def attend(
        self, normed: torch.Tensor, batch: StepBatch, pool: KvPool, chosen: torch.Tensor | None
    ) -> torch.Tensor:
        """See `Attention`."""
        keys, values = pool.keys[self._number], pool.values[self._number]
        q = ops.rope_and_store(
            self.qkv(normed, chosen),
            self._cos_sin,
            batch.positions,
            batch.slots,
            keys,
            values,
            self.heads,
            self.kv_heads,
            self._q_norm,
            self._k_norm,
            self._eps,
        )
        return ops.paged_attention(q, keys, values, batch, self._scale)

    def linears(self) -> Iterator[tuple[str, Part]]:
        """See `Attention`."""
        yield from parts_of("self_attn", _QKV, self.qkv)
        yield from parts_of("self_attn", ("o_proj",), self.out)


def take_over(model: Any, positions: int) -> PreNormModel:
    """See `models.take_over`."""
    check_layers(model, _LAYERS)
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    if window and positions > window:
        raise Unsuited(f"a window of {window} tokens that slides")
    inner = model.model
    table = rope_table(inner.rotary_emb, positions, inner.embed_tokens.weight.device)
    attentions = [
        GroupedQueryAttention(layer.self_attn, number, table)
        for number, layer in enumerate(inner.layers)
    ]
    layers = [
        Layer(layer, attention, mlp_of(layer.mlp, inner.embed_tokens.weight))
        for layer, attention in zip(inner.layers, attentions, strict=True)
    ]
    layout = KvLayout(
        layers=len(layers),
        dtype=inner.embed_tokens.weight.dtype,
        kv_heads=attentions[0].kv_heads,
        head_dim=inner.layers[0].self_attn.head_dim,
    )
    return PreNormModel(model, layers, layout)

"""Llama, Mistral, Qwen2 and Qwen3: pre-norm layers of grouped-query attention and a gated MLP.

Repeats the arithmetic of transformers' modules of these names over packed tokens and a paged
cache. Their weights are taken over: queries, keys and values fused, gate and up fused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.linears import Projection
from workers.serve.native.models import Part, Unsuited
from workers.serve.native.pool import KvLayout, KvPool

_LAYERS = {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
_QKV = ("q_proj", "k_proj", "v_proj")
_GATE_UP = ("gate_proj", "up_proj")


@dataclass
class DenseLayer:
    """One layer: fused projections and the weights of its norms."""

    before: torch.Tensor
    qkv: Projection
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    out: Projection
    between: torch.Tensor
    gate_up: Projection
    down: Projection


class DenseModel:
    """`Model` of the dense architectures."""

    def __init__(self, model: Any, positions: int) -> None:
        inner = model.model
        self.embedding: torch.Tensor = inner.embed_tokens.weight
        self.layers = [_layer(layer) for layer in inner.layers]
        self.norm: torch.Tensor = inner.norm.weight
        self.eps = float(inner.norm.variance_epsilon)
        self.head = Projection([model.get_output_embeddings()])
        self.cos_sin = rope_table(inner.rotary_emb, positions, self.embedding.device)
        attention = inner.layers[0].self_attn
        self.scale = float(attention.scaling)
        self.heads = self.layers[0].qkv.sizes[0] // attention.head_dim
        self.kv_layout = KvLayout(
            layers=len(self.layers),
            dtype=self.embedding.dtype,
            kv_heads=self.layers[0].qkv.sizes[1] // attention.head_dim,
            head_dim=attention.head_dim,
        )
        self.linears: Mapping[str, Part] = dict(self._named_linears())
        self.vocabulary: Mapping[str, torch.Tensor] = {
            "model.embed_tokens.weight": self.embedding,
            "lm_head.weight": model.get_output_embeddings().weight,
        }
        self.adapter_ids: torch.Tensor | None = None

    def hidden(self, batch: StepBatch, pool: KvPool, *, due_only: bool = False) -> torch.Tensor:
        """See `Model`."""
        chosen = self._chosen(batch.adapters)
        residual = functional.embedding(batch.input_ids, self.embedding)
        normed = ops.rms_norm(residual, self.layers[0].before, self.eps)
        for number, layer in enumerate(self.layers):
            attended = self._attention(number, layer, normed, batch, pool, chosen)
            last = number + 1 == len(self.layers)
            if last and due_only and not batch.decodes:
                attended, residual = attended[batch.logits_at], residual[batch.logits_at]
                chosen = None if chosen is None else chosen[batch.logits_at]
            attended = layer.out(attended, chosen)
            normed, residual = ops.add_rms_norm(attended, residual, layer.between, self.eps)
            made = layer.down(ops.silu_mul(layer.gate_up(normed, chosen)), chosen)
            following = self.norm if last else self.layers[number + 1].before
            normed, residual = ops.add_rms_norm(made, residual, following, self.eps)
        return normed

    def logits(self, hidden: torch.Tensor, adapters: torch.Tensor | None = None) -> torch.Tensor:
        """[L, hidden] to [L, vocabulary]; `adapters` [L] as in the batch."""
        return self.head(hidden, self._chosen(adapters))

    def _attention(
        self,
        number: int,
        layer: DenseLayer,
        normed: torch.Tensor,
        batch: StepBatch,
        pool: KvPool,
        chosen: torch.Tensor | None,
    ) -> torch.Tensor:
        keys, values = pool.keys[number], pool.values[number]
        q = ops.rope_and_store(
            layer.qkv(normed, chosen),
            self.cos_sin,
            batch.positions,
            batch.slots,
            keys,
            values,
            self.heads,
            self.kv_layout.kv_heads,
            layer.q_norm,
            layer.k_norm,
            self.eps,
        )
        return ops.paged_attention(q, keys, values, batch, self.scale)

    def _chosen(self, adapters: torch.Tensor | None) -> torch.Tensor | None:
        if adapters is None or self.adapter_ids is None:
            return None
        return adapters[:, None] == self.adapter_ids

    def _named_linears(self) -> Iterator[tuple[str, Part]]:
        for number, layer in enumerate(self.layers):
            fused = {
                "self_attn": [(layer.qkv, _QKV), (layer.out, ("o_proj",))],
                "mlp": [(layer.gate_up, _GATE_UP), (layer.down, ("down_proj",))],
            }
            for half, projections in fused.items():
                for projection, names in projections:
                    for index, name in enumerate(names):
                        yield f"model.layers.{number}.{half}.{name}", Part(projection, index)
        yield "lm_head", Part(self.head, 0)


def take_over(model: Any, positions: int) -> DenseModel:
    """See `models.take_over`."""
    layers = model.model.layers
    if strange := {type(layer).__name__ for layer in layers} - _LAYERS:
        raise Unsuited(f"layers of type {', '.join(sorted(strange))}")
    window = model.config.get_text_config().sliding_window if _slides(model) else None
    if window and positions > window:
        raise Unsuited(f"a window of {window} tokens that slides")
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        raise Unsuited("hooks around its modules")
    return DenseModel(model, positions)


def rope_table(rotary: Any, positions: int, device: torch.device) -> torch.Tensor:
    """Cosines and sines as transformers' own module makes them: [positions, head_dim] float32.

    Whatever rescales frequencies or amplitudes (linear, llama3, yarn) is in them.
    """
    at = torch.arange(positions, device=device)[None]
    like = torch.empty(0, dtype=torch.float32, device=device)
    with torch.no_grad():
        cos, sin = rotary(like, at)
    half = cos.shape[-1] // 2
    return torch.cat((cos[0, :, :half], sin[0, :, :half]), dim=-1).contiguous()


def _slides(model: Any) -> bool:
    return getattr(model.config.get_text_config(), "sliding_window", None) is not None


def _layer(layer: Any) -> DenseLayer:
    attention, mlp = layer.self_attn, layer.mlp
    q_norm, k_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    return DenseLayer(
        before=layer.input_layernorm.weight,
        qkv=Projection([getattr(attention, name) for name in _QKV]),
        q_norm=None if q_norm is None else q_norm.weight,
        k_norm=None if k_norm is None else k_norm.weight,
        out=Projection([attention.o_proj]),
        between=layer.post_attention_layernorm.weight,
        gate_up=Projection([getattr(mlp, name) for name in _GATE_UP]),
        down=Projection([mlp.down_proj]),
    )

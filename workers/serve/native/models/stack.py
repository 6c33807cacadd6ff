"""What all hooked architectures share: embedding, pre-norm layers on a residual stream, head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as functional

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.linears import Adaptable, Projection
from workers.serve.native.models import Part, Unsuited
from workers.serve.native.pool import KvLayout, KvPool

GATE_UP = ("gate_proj", "up_proj")


class Attention(Protocol):
    """The first half of a layer, up to its output projection."""

    out: Projection

    def attend(
        self, normed: torch.Tensor, batch: StepBatch, pool: KvPool, chosen: torch.Tensor | None
    ) -> torch.Tensor:
        """New keys and values go into the pool; [T, hidden] to [T, inputs of `out`]."""

    def linears(self) -> Iterator[tuple[str, Part]]:
        """Names below the layer's, as adapters use them."""


class Mlp(Protocol):
    """The second half of a layer."""

    routed: bool
    """It has experts that adapters cannot be put beside here."""

    def apply(self, normed: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """[T, hidden] to [T, hidden]."""

    def linears(self) -> Iterator[tuple[str, Part]]:
        """Names below the layer's, as adapters use them."""


class GatedMlp:
    """`down(silu(gate(x)) * up(x))`, gate and up fused."""

    routed = False

    def __init__(self, mlp: Any, name: str = "mlp") -> None:
        self._name = name
        self._gate_up = Projection([getattr(mlp, part) for part in GATE_UP])
        self._down = Projection([mlp.down_proj])

    def apply(self, normed: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """See `Mlp`."""
        return self._down(ops.silu_mul(self._gate_up(normed, chosen)), chosen)

    def linears(self) -> Iterator[tuple[str, Part]]:
        """See `Mlp`."""
        yield from parts_of(self._name, GATE_UP, self._gate_up)
        yield from parts_of(self._name, ("down_proj",), self._down)


class Layer:
    """One decoder layer."""

    def __init__(self, layer: Any, attention: Attention, mlp: Mlp) -> None:
        self.before: torch.Tensor = layer.input_layernorm.weight
        self.attention = attention
        self.between: torch.Tensor = layer.post_attention_layernorm.weight
        self.mlp = mlp


class PreNormModel:
    """`Model` of layers with an attention and an MLP."""

    def __init__(self, model: Any, layers: Sequence[Layer], layout: KvLayout) -> None:
        inner = model.model
        self.kv_layout = layout
        self.embedding: torch.Tensor = inner.embed_tokens.weight
        self.layers = layers
        self.norm: torch.Tensor = inner.norm.weight
        self.eps = float(inner.norm.variance_epsilon)
        self.head = Projection([model.get_output_embeddings()])
        self.linears: Mapping[str, Part] = dict(self._named_linears())
        self.unadaptable = tuple(
            f"model.layers.{number}.mlp." for number, layer in enumerate(layers) if layer.mlp.routed
        )
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
            attended = layer.attention.attend(normed, batch, pool, chosen)
            last = number + 1 == len(self.layers)
            if last and due_only and not batch.decodes:
                attended, residual = attended[batch.logits_at], residual[batch.logits_at]
                chosen = None if chosen is None else chosen[batch.logits_at]
            attended = layer.attention.out(attended, chosen)
            normed, residual = ops.add_rms_norm(attended, residual, layer.between, self.eps)
            made = layer.mlp.apply(normed, chosen)
            following = self.norm if last else self.layers[number + 1].before
            normed, residual = ops.add_rms_norm(made, residual, following, self.eps)
        return normed

    def logits(self, hidden: torch.Tensor, adapters: torch.Tensor | None = None) -> torch.Tensor:
        """[L, hidden] to [L, vocabulary]; `adapters` [L] as in the batch."""
        return self.head(hidden, self._chosen(adapters))

    def _chosen(self, adapters: torch.Tensor | None) -> torch.Tensor | None:
        if adapters is None or self.adapter_ids is None:
            return None
        return adapters[:, None] == self.adapter_ids

    def _named_linears(self) -> Iterator[tuple[str, Part]]:
        for number, layer in enumerate(self.layers):
            for half in (layer.attention, layer.mlp):
                for name, part in half.linears():
                    yield f"model.layers.{number}.{name}", part
        yield "lm_head", Part(self.head, 0)


def parts_of(
    prefix: str, names: Sequence[str], projection: Adaptable
) -> Iterator[tuple[str, Part]]:
    """The parts of a fused projection by their modules' names."""
    for number, name in enumerate(names):
        yield f"{prefix}.{name}", Part(projection, number)


def check_layers(model: Any, known: frozenset[str]) -> None:
    """Refuse layers of other classes, hooked modules, and weights that are not all in one place.

    Raises:
        Unsuited: with what it is.
    """
    if strange := {type(layer).__name__ for layer in model.model.layers} - known:
        raise Unsuited(f"layers of type {', '.join(sorted(strange))}")
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        raise Unsuited("hooks around its modules")
    if len({p.device for p in model.parameters()}) > 1:
        raise Unsuited("weights on several devices")


def rope_table(rotary: Any, positions: int, device: torch.device) -> torch.Tensor:
    """Cosines and sines as transformers' own module makes them: [positions, rotated] float32.

    Whatever rescales frequencies or amplitudes (linear, llama3, yarn) is in them. Cosines are the
    first half, sines the second.
    """
    at = torch.arange(positions, device=device)[None]
    like = torch.empty(0, dtype=torch.float32, device=device)
    with torch.no_grad():
        made = rotary(like, at)
    if isinstance(made, torch.Tensor):  # DeepSeek-V2's: complex numbers
        return torch.cat((made[0].real, made[0].imag), dim=-1).contiguous()
    cos, sin = made
    half = cos.shape[-1] // 2
    return torch.cat((cos[0, :, :half], sin[0, :, :half]), dim=-1).contiguous()

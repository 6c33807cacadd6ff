"""A model's tensors from its `config.json` alone: no weights, no torch, exact to the parameter.

The walk follows the modeling code of transformers 5: Llama, Qwen2, Qwen3, and DeepSeek-V2 and V3
with multi-head latent attention (https://arxiv.org/abs/2405.04434) and fused routed experts.
Layers that only predict further tokens (V3's MTP) are not loaded there, so they are not counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_MAX_CONFIG_BYTES = 4 * 1024 * 1024
_GQA_TYPES = frozenset({"llama", "qwen2", "qwen3", "mistral"})
_MLA_TYPES = frozenset({"deepseek_v2", "deepseek_v3"})
_FEED_FORWARD = frozenset({"gate_proj", "up_proj", "down_proj"})

Reads = Literal["input", "query", "latent", "attention", "feed_forward", "product", "shared"]
"""Which activation a linear layer reads; layers that read the same one can share what is kept."""


@dataclass(frozen=True)
class Linear:
    """All linear layers of one name and size."""

    name: str
    """Last part of the module's path, for example q_proj."""
    inputs: int
    outputs: int
    count: int
    reads: Reads
    bias: bool = False

    @property
    def weights(self) -> int:
        """Elements of the matrices; what quantization makes smaller."""
        return self.count * self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """With biases."""
        return self.weights + self.count * self.outputs * self.bias


@dataclass(frozen=True)
class Attention:
    """Widths in elements a token, of what an attention kernel keeps for its backward pass."""

    heads: int
    query: int
    key: int
    value: int
    out: int
    normed: int = 0
    """Of all norms inside: Qwen3's on heads, those of MLA's compressed vectors."""


@dataclass(frozen=True)
class Experts:
    """Routed experts: `count` in each of `layers`, a token passes `chosen` of them."""

    layers: int
    count: int
    chosen: int
    width: int
    shared_width: int

    def parameters(self, hidden: int) -> int:
        """Of the fused expert tensors, router excluded."""
        return self.layers * self.count * 3 * hidden * self.width


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder-only language model."""

    model_type: str
    hidden: int
    vocab: int
    layers: int
    dense_layers: int
    intermediate: int
    tied: bool
    attention: Attention
    linears: tuple[Linear, ...]
    norms: int
    """Parameters of all norms."""
    experts: Experts | None = None
    context_tokens: int | None = None

    @property
    def embedding(self) -> int:
        """Parameters of the input embedding."""
        return self.vocab * self.hidden

    @property
    def head(self) -> int:
        """Parameters of the output head that are not the embedding's."""
        return 0 if self.tied else self.embedding

    @property
    def expert_parameters(self) -> int:
        """Of routed experts; quantization libraries leave these fused tensors as they are."""
        return self.experts.parameters(self.hidden) if self.experts else 0

    @property
    def router_parameters(self) -> int:
        """Of the matrices that choose experts."""
        return self.experts.layers * self.experts.count * self.hidden if self.experts else 0

    @property
    def linear_weights(self) -> int:
        """Elements that 4-bit and 8-bit loading makes smaller."""
        return sum(linear.weights for linear in self.linears)

    @property
    def parameters(self) -> int:
        """Of the whole model, a tied head once."""
        linears = sum(linear.parameters for linear in self.linears)
        rest = self.embedding + self.head + self.norms
        return linears + rest + self.expert_parameters + self.router_parameters

    @property
    def layer_parameters(self) -> int:
        """Of the largest layer: what is gathered at once when weights are sharded."""
        outside = self.embedding + self.head
        if self.experts is None:
            return (self.parameters - outside) // self.layers
        routed = (self.expert_parameters + self.router_parameters) // self.experts.layers
        return (sum(x.parameters for x in self.linears) + self.norms) // self.layers + routed

    def targets(self, names: tuple[str, ...]) -> tuple[Linear, ...]:
        """The layers that adapters named so would sit on; unknown names match nothing.

        With fused experts only the attention can have one (docs/training.md says why).
        """
        last = {name.rpartition(".")[2] for name in names}
        taken = _FEED_FORWARD if self.experts else frozenset()
        everything = "all-linear" in last
        return tuple(
            x for x in self.linears if x.name not in taken and (everything or x.name in last)
        )


def shape_of_folder(folder: Path) -> ModelShape | None:
    """The shape of the model in a folder, or None when its config does not tell."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            return None
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return shape_of(config) if isinstance(config, dict) else None


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a `config.json` describes; None for other families or missing sizes."""
    kind = str(config.get("model_type", ""))
    try:
        if kind in _GQA_TYPES:
            return _gqa(_Sizes(config), kind)
        if kind in _MLA_TYPES:
            return _mla(_Sizes(config), kind)
    except _Missing:
        pass
    return None


class _Missing(Exception):
    """A size is not there or not a size."""


class _Sizes:
    """Reads of a config that came from a stranger."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def need(self, *names: str) -> int:
        for name in names:
            value = self._config.get(name)
            if type(value) is int and 0 < value < 2**40:
                return value
        raise _Missing(names[0])

    def get(self, name: str, default: int) -> int:
        value = self._config.get(name)
        return value if type(value) is int and 0 <= value < 2**40 else default

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._config.get(name, default)
        return value if isinstance(value, bool) else default

    def context(self) -> int | None:
        return self.get("max_position_embeddings", 0) or None


def _gqa(sizes: _Sizes, kind: str) -> ModelShape:
    """Llama and its relatives: grouped-query attention, gated MLP."""
    hidden, layers, wide = (
        sizes.need("hidden_size"),
        sizes.need("num_hidden_layers"),
        sizes.need("intermediate_size"),
    )
    heads = sizes.need("num_attention_heads")
    kv_heads = sizes.get("num_key_value_heads", 0) or heads
    head_dim = sizes.get("head_dim", 0) or (128 if kind == "qwen3" else hidden // heads)
    query, key = heads * head_dim, kv_heads * head_dim
    biased = sizes.flag("attention_bias")
    qkv_bias, out_bias = (True, False) if kind == "qwen2" else (biased, biased)
    head_norms = 2 * head_dim if kind == "qwen3" else 0
    linears = (
        Linear("q_proj", hidden, query, layers, "input", qkv_bias),
        Linear("k_proj", hidden, key, layers, "input", qkv_bias),
        Linear("v_proj", hidden, key, layers, "input", qkv_bias),
        Linear("o_proj", query, hidden, layers, "attention", out_bias),
        *_mlp(hidden, wide, layers, "feed_forward", sizes.flag("mlp_bias")),
    )
    return ModelShape(
        model_type=kind,
        hidden=hidden,
        vocab=sizes.need("vocab_size"),
        layers=layers,
        dense_layers=layers,
        intermediate=wide,
        tied=sizes.flag("tie_word_embeddings"),
        attention=Attention(heads, query, key, key, query, (query + key) * bool(head_norms)),
        linears=linears,
        norms=hidden + layers * (2 * hidden + head_norms),
        context_tokens=sizes.context(),
    )


def _mla(sizes: _Sizes, kind: str) -> ModelShape:
    """DeepSeek-V2 and V3: latent attention, shared and routed experts behind some dense layers."""
    hidden, layers = sizes.need("hidden_size"), sizes.need("num_hidden_layers")
    wide, heads = sizes.need("intermediate_size"), sizes.need("num_attention_heads")
    latent, rope = sizes.need("kv_lora_rank"), sizes.need("qk_rope_head_dim")
    nope, value = sizes.need("qk_nope_head_dim"), sizes.need("v_head_dim")
    query_rank = sizes.get("q_lora_rank", 0)
    experts = _experts(sizes, layers)
    dense = layers - (experts.layers if experts else 0)
    shared = () if experts is None else _shared(hidden, experts)
    biased = sizes.flag("attention_bias")
    linears = (
        *_queries(hidden, query_rank, heads * (nope + rope), layers, biased),
        Linear("kv_a_proj_with_mqa", hidden, latent + rope, layers, "input", biased),
        Linear("kv_b_proj", latent, heads * (nope + value), layers, "latent"),
        Linear("o_proj", heads * value, hidden, layers, "attention", biased),
        *_mlp(hidden, wide, dense, "feed_forward", sizes.flag("mlp_bias")),
        *shared,
    )
    return ModelShape(
        model_type=kind,
        hidden=hidden,
        vocab=sizes.need("vocab_size"),
        layers=layers,
        dense_layers=dense,
        intermediate=wide,
        tied=sizes.flag("tie_word_embeddings"),
        # Values are a view of what kv_b_proj gave: the whole of it is kept.
        attention=Attention(
            heads,
            heads * (nope + rope),
            heads * (nope + rope),
            heads * (nope + value),
            heads * value,
            query_rank + latent,
        ),
        linears=linears,
        norms=hidden + layers * (2 * hidden + query_rank + latent),
        experts=experts,
        context_tokens=sizes.context(),
    )


def _queries(hidden: int, rank: int, outputs: int, layers: int, biased: bool) -> Iterator[Linear]:
    if not rank:
        yield Linear("q_proj", hidden, outputs, layers, "input")
        return
    yield Linear("q_a_proj", hidden, rank, layers, "input", biased)
    yield Linear("q_b_proj", rank, outputs, layers, "query")


def _mlp(
    hidden: int, wide: int, count: int, reads: Reads, biased: bool = False
) -> Iterator[Linear]:
    if not count:
        return
    product: Reads = "product"
    yield Linear("gate_proj", hidden, wide, count, reads, biased)
    yield Linear("up_proj", hidden, wide, count, reads, biased)
    yield Linear("down_proj", wide, hidden, count, product, biased)


def _shared(hidden: int, experts: Experts) -> tuple[Linear, ...]:
    return tuple(_mlp(hidden, experts.shared_width, experts.layers, "shared"))


def _experts(sizes: _Sizes, layers: int) -> Experts | None:
    routed_layers = layers - min(layers, sizes.get("first_k_dense_replace", 0))
    if not routed_layers:
        return None
    width = sizes.need("moe_intermediate_size")
    return Experts(
        layers=routed_layers,
        count=sizes.need("n_routed_experts", "num_local_experts", "num_experts"),
        chosen=sizes.need("num_experts_per_tok"),
        width=width,
        shared_width=width * sizes.get("n_shared_experts", 1),
    )

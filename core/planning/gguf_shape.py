"""The shape of a model in a GGUF file, from its header alone.

Keys are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Families beside the
ones that `core.planning.shapes` knows give None.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from core.planning.shapes import ModelShape, shape_of

_SIZES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "vocab_size": "vocab_size",
}
"""Name in a `config.json` to the key behind the architecture's prefix."""


def shape_of_gguf(metadata: Mapping[str, Any], tensors: Collection[str]) -> ModelShape | None:
    """The shape, or None for another family or missing sizes.

    Args:
        metadata: of the header; arrays by their lengths.
        tensors: names of all tensors: whether the head is the embedding's, and biases.
    """
    kind = str(metadata.get("general.architecture", ""))
    config = {name: metadata.get(f"{kind}.{key}") for name, key in _SIZES.items()}
    if config["vocab_size"] is None:
        config["vocab_size"] = metadata.get("tokenizer.ggml.tokens")
    return shape_of(
        {
            **config,
            "model_type": kind,
            "tie_word_embeddings": "output.weight" not in tensors,
            "attention_bias": "blk.0.attn_q.bias" in tensors,
            "mlp_bias": "blk.0.ffn_up.bias" in tensors,
        }
    )

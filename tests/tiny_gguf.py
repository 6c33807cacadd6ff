"""A tiny random Llama as one GGUF file, with weights and tokenizer, as llama.cpp writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.tiny_models import PLAIN_TEMPLATE, build_tiny

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
}
_HEADS, _KV_HEADS = 4, 2


def build_tiny_gguf(folder: Path) -> Path:
    """`folder/model.gguf` with the weights of `build_tiny(folder / "hf")`; returns the file."""
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    source = build_tiny(folder / "hf")
    config = json.loads((source / "config.json").read_text())
    file = folder / "model.gguf"
    writer = GGUFWriter(file, "llama")
    _write_config(writer, config)
    _write_tokenizer(writer, json.loads((source / "tokenizer.json").read_text()), config)
    for name, tensor in load_file(source / "model.safetensors").items():
        writer.add_tensor(_renamed(name), _rotated(name, tensor.astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _write_config(writer, config) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_rope_dimension_count(config["hidden_size"] // _HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tokenizer(writer, tokenizer, config) -> None:
    vocab = tokenizer["model"]["vocab"]
    special = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    by_id = {i: token for token, i in {**vocab, **special}.items()}
    tokens = [by_id.get(i, f"<unused{i}>") for i in range(config["vocab_size"])]
    merges = [" ".join(m) if isinstance(m, list) else m for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in special else 1 for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template(PLAIN_TEMPLATE)


def _renamed(name: str) -> str:
    for long, short in _NAMES.items():
        name = name.replace(long, short)
    return name


def _rotated(name: str, weights: np.ndarray) -> np.ndarray:
    """llama.cpp keeps the rows of rotary projections interleaved."""
    heads = {"q_proj": _HEADS, "k_proj": _KV_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return weights
    rows, columns = weights.shape
    halves = weights.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))

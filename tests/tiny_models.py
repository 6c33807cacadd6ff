"""Tiny random models of every supported architecture, whole folders as a user would have them.

`build_tiny(folder, "llama")` writes config, bf16 or fp32 safetensors, a byte-level BPE tokenizer
and a chat template, in well under a second, without any download. Not a mock: transformers loads
the folder as it loads any other. Both the training and the serving tests use it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ARCHITECTURES = ("llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3")
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
VOCABULARY = 400
CONTEXT_TOKENS = 256

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] + '\n\n' }}"
    "{% elif m['role'] == 'user' %}{{ 'User: ' + m['content'] + '\n\n' }}"
    "{% else %}{{ 'Assistant: ' + m['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
"""As DeepSeek-LLM's: no generation markers."""

MARKED_TEMPLATE = PLAIN_TEMPLATE.replace(
    "{{ 'Assistant: ' + m['content'] + eos_token }}",
    "{{ 'Assistant: ' }}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}",
)
"""The same text with `{% generation %}` markers around what the model says."""

R1_TEMPLATE = PLAIN_TEMPLATE.replace(
    "m['content'] + eos_token", "m['content'].split('</think>')[-1] + eos_token"
)
"""As R1-Distill's: what the model thought is cut out of its turns."""

TEMPLATES = {"plain": PLAIN_TEMPLATE, "marked": MARKED_TEMPLATE, "r1": R1_TEMPLATE, "none": None}

_TEXT = (
    "The quick brown fox jumps over the lazy dog. What does the function do? It returns a list. "
    "User: Assistant: Paris is the capital of France. 你好，世界。今天天气很好。 0123456789 "
) * 4


@lru_cache(maxsize=1)
def _bpe() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([_TEXT], trainer)
    return bpe


def tiny_tokenizer(
    *, template: str = "plain", pad_is_eos: bool = False, adds_bos: bool = True
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of under `VOCABULARY` entries; any UTF-8 text survives a round trip."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer.from_str(_bpe().to_str())
    if adds_bos:  # as Llama's: plain encode() puts a BOS in front
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, bpe.token_to_id(BOS))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS if pad_is_eos else PAD,
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATES[template]
    return tokenizer


def tiny_config(arch: str, vocab_size: int = VOCABULARY, **changes: Any) -> Any:
    """A config of two layers and width 32; V2 and V3 have MLA and routed experts."""
    from transformers import AutoConfig

    common: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if arch.startswith("deepseek") else 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if arch == "qwen3":
        common["head_dim"] = 8
    if arch.startswith("deepseek"):
        common |= {
            "q_lora_rank": 16 if arch == "deepseek_v3" else None,
            "kv_lora_rank": 16,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 8,
            "v_head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        }
    return AutoConfig.for_model(arch, **(common | changes))


def build_tiny(
    path: Path,
    arch: str = "llama",
    *,
    seed: int = 0,
    dtype: str = "float32",
    template: str = "plain",
    pad_is_eos: bool = False,
    adds_bos: bool = True,
    **changes: Any,
) -> Path:
    """Write a whole model folder and return it.

    Args:
        path: folder to make.
        arch: one of `ARCHITECTURES` (a transformers model type).
        seed: of the random weights.
        dtype: of the stored weights: "float32" or "bfloat16".
        template: a key of `TEMPLATES`; "none" leaves the chat template out.
        pad_is_eos: give the tokenizer the same token for both, as many real ones have.
        adds_bos: the tokenizer itself puts a BOS in front of plain text.
        **changes: overrides of single config values.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(template=template, pad_is_eos=pad_is_eos, adds_bos=adds_bos)
    # As in real models, the embedding has a few rows more than the tokenizer has entries.
    config = tiny_config(arch, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(path, safe_serialization=True)
    tokenizer.save_pretrained(path)
    return path

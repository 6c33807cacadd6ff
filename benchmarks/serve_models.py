"""Models for the serving benchmarks: real shapes with random weights, and SmolLM2-135M."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LLAMA, QWEN2, V2 = "llama", "qwen2", "deepseek_v2"

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": (LLAMA, {"vocab_size": 32_000, "hidden_size": 256, "intermediate_size": 688,
                     "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8}),
    "1b": (LLAMA, {"vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 5504,
                   "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16}),
    # DeepSeek-LLM-7B (https://arxiv.org/abs/2401.02954)
    "deepseek-llm-7b": (LLAMA, {"vocab_size": 102_400, "hidden_size": 4096,
                                "intermediate_size": 11_008, "num_hidden_layers": 30,
                                "num_attention_heads": 32, "num_key_value_heads": 32}),
    # DeepSeek-R1-Distill-Qwen (https://arxiv.org/abs/2501.12948)
    "r1-distill-qwen-1.5b": (QWEN2, {"vocab_size": 151_936, "hidden_size": 1536,
                                     "intermediate_size": 8960, "num_hidden_layers": 28,
                                     "num_attention_heads": 12, "num_key_value_heads": 2}),
    "r1-distill-qwen-7b": (QWEN2, {"vocab_size": 152_064, "hidden_size": 3584,
                                   "intermediate_size": 18_944, "num_hidden_layers": 28,
                                   "num_attention_heads": 28, "num_key_value_heads": 4}),
    # DeepSeek-V2-Lite (https://arxiv.org/abs/2405.04434, appendix B)
    "deepseek-v2-lite": (V2, {"vocab_size": 102_400, "hidden_size": 2048,
                              "intermediate_size": 10_944, "num_hidden_layers": 27,
                              "num_attention_heads": 16, "num_key_value_heads": 16,
                              "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
                              "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64,
                              "n_shared_experts": 2, "num_experts_per_tok": 6,
                              "moe_intermediate_size": 1408, "first_k_dense_replace": 1}),
}  # fmt: skip


def config_of(shape: str) -> Any:
    """The transformers configuration of a shape."""
    from transformers import AutoConfig

    kind, sizes = SHAPES[shape]
    return AutoConfig.for_model(
        kind, max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        tie_word_embeddings=False, **sizes,
    )  # fmt: skip


def random_model(folder: Path, shape: str) -> Path:
    """A model folder with random bf16 weights: behavior and speed, no sense."""
    import torch
    from transformers import AutoModelForCausalLM

    target = folder / shape
    if (target / "config.json").is_file():
        return target
    config = config_of(shape)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(target)
    word_tokenizer(config.vocab_size).save_pretrained(target)
    del model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return target


def word_tokenizer(size: int) -> Any:
    """Every token is a word, so that every token shows in a stream."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(size)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="w1", eos_token="w2", pad_token="w0", unk_token="w0"
    )

"""Random models of real shapes, for benchmarks and tests of training on a card."""

from __future__ import annotations

from typing import Any

import torch

TWO = ("q_proj", "v_proj")
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def deepseek_7b() -> Any:
    """DeepSeek-LLM-7B's shape (https://arxiv.org/abs/2401.02954): random, frozen, bf16."""
    from transformers import LlamaConfig

    return _random(
        LlamaConfig(
            vocab_size=102_400,
            hidden_size=4096,
            intermediate_size=11_008,
            num_hidden_layers=30,
            num_attention_heads=32,
            num_key_value_heads=32,
            max_position_embeddings=4096,
            tie_word_embeddings=False,
        )
    )


def r1_distill_1_5b() -> Any:
    """DeepSeek-R1-Distill-Qwen-1.5B's shape (https://arxiv.org/abs/2501.12948), likewise."""
    from transformers import Qwen2Config

    return _random(
        Qwen2Config(
            vocab_size=151_936,
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            tie_word_embeddings=False,
        )
    )


def _random(config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.config.use_cache = False
    return model.requires_grad_(False)


def quantize_(model: Any) -> Any:
    """NF4 with double quantization for every linear layer but the head, as QLoRA loads them."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if type(module) is not torch.nn.Linear or name.endswith("lm_head"):
            continue
        packed = bnb.nn.Linear4bit(
            module.in_features, module.out_features, bias=module.bias is not None,
            compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4", device="meta",
        )  # fmt: skip
        packed.weight = bnb.nn.Params4bit(
            module.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
        ).cuda()
        packed.bias = module.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, packed)
        module.weight = None
    model.is_loaded_in_4bit = True
    return model


def with_adapter(model: Any, targets: tuple[str, ...]) -> Any:
    """A PEFT model with fp32 adapters of rank 16 whose B is not zero."""
    from peft import LoraConfig, get_peft_model

    peft_model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules=list(targets), task_type="CAUSAL_LM")
    )
    for name, tensor in peft_model.named_parameters():
        if tensor.requires_grad:
            tensor.data = tensor.data.float()
        if "lora_B" in name:
            tensor.data.normal_(std=0.01)
    return peft_model.train()


def multiplied_parameters(model: Any) -> int:
    """Parameters in matrix products: all but embedding and norms (4-bit ones counted unpacked)."""
    total = 0
    for name, module in model.named_modules():
        if hasattr(module, "in_features") and "lora_" not in name and not hasattr(module, "lora_A"):
            total += module.in_features * module.out_features
    return total

"""A model's parameters from its config alone, against the models themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.paths import STARTER_MODEL
from core.planning.shapes import shape_of, shape_of_folder
from tests.tiny_models import ARCHITECTURES, tiny_config

DEEPSEEK_7B: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 32,
    "vocab_size": 102400, "max_position_embeddings": 4096,
}  # fmt: skip
DEEPSEEK_67B: dict[str, Any] = DEEPSEEK_7B | {
    "hidden_size": 8192, "intermediate_size": 22016, "num_hidden_layers": 95,
    "num_attention_heads": 64, "num_key_value_heads": 8,
}  # fmt: skip
R1_QWEN_7B: dict[str, Any] = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "vocab_size": 152064,
}  # fmt: skip
V2_LITE: dict[str, Any] = {
    "model_type": "deepseek_v2", "hidden_size": 2048, "intermediate_size": 10944,
    "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16,
    "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "vocab_size": 102400,
}  # fmt: skip
V3: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "vocab_size": 129280,
}  # fmt: skip
MODELS = {
    "7b": DEEPSEEK_7B, "67b": DEEPSEEK_67B, "r1-qwen-7b": R1_QWEN_7B, "v2-lite": V2_LITE, "v3": V3
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "billions"),
    [("7b", 6.91), ("67b", 67.42), ("r1-qwen-7b", 7.62), ("v2-lite", 15.71), ("v3", 671.03)],
)
def test_the_published_models_have_the_parameters_they_are_known_for(
    name: str, billions: float
) -> None:
    shape = shape_of(MODELS[name])
    assert shape is not None
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        *((arch, {}) for arch in ARCHITECTURES),
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
        ("llama", {"head_dim": 24}),
        ("qwen2", {"num_key_value_heads": 1}),
        ("deepseek_v2", {"q_lora_rank": 8, "n_shared_experts": 3, "attention_bias": True}),
        ("deepseek_v3", {"first_k_dense_replace": 0, "v_head_dim": 12}),
    ],
)
def test_the_walk_is_exact_to_the_parameter(arch: str, changes: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    config = tiny_config(arch, **changes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape = shape_of(config.to_dict())
    assert shape is not None
    assert shape.parameters == model.num_parameters()
    linears = {
        name.rpartition(".")[2]: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings()
    }
    assert {x.name for x in shape.linears} == set(linears)
    sizes = {(x.name, (x.outputs, x.inputs)) for x in shape.linears}
    assert set(linears.items()) <= sizes


def test_the_bundled_model_is_read_from_its_folder() -> None:
    shape = shape_of_folder(STARTER_MODEL)
    assert shape is not None
    assert shape.tied
    assert (shape.hidden, shape.layers, shape.context_tokens) == (256, 8, 1024)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"model_type": "gpt2"}', json.dumps(DEEPSEEK_7B | {"hidden_size": "4096"}),
     json.dumps(DEEPSEEK_7B | {"num_hidden_layers": -1}), "[" * 100_000,
     json.dumps({k: v for k, v in V3.items() if k != "moe_intermediate_size"})],
)  # fmt: skip
def test_a_config_that_does_not_tell_gives_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, "utf-8")
    assert shape_of_folder(tmp_path) is None
    assert shape_of_folder(tmp_path / "nowhere") is None


def test_adapters_of_a_mixture_of_experts_sit_on_its_attention_only() -> None:
    shape = shape_of(V2_LITE)
    assert shape is not None
    names = {x.name for x in shape.targets(("all-linear",))}
    assert names == {"q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}
    dense = shape_of(DEEPSEEK_7B)
    assert dense is not None
    assert len(dense.targets(("all-linear",))) == 7
    assert [x.name for x in dense.targets(("self_attn.q_proj", "v_proj"))] == ["q_proj", "v_proj"]

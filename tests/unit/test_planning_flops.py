"""What a training step costs, against numbers computed by hand."""

from __future__ import annotations

import pytest

from core.planning.flops import flops_per_token, multiplied_weights, typical_tokens
from core.planning.shapes import ModelShape, shape_of

DEEPSEEK_LLM_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 102400,
    "tie_word_embeddings": False,
}
V2_LITE = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 102400,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "tie_word_embeddings": False,
}


def shape(config: dict[str, object]) -> ModelShape:
    found = shape_of(config)
    assert found is not None
    return found


@pytest.mark.parametrize(("tokens", "gflops"), [(1024, 26.7), (4096, 29.0), (16384, 38.0)])
def test_an_adapter_on_7b_costs_four_flops_a_weight_and_attention(
    tokens: int, gflops: float
) -> None:
    found = flops_per_token(shape(DEEPSEEK_LLM_7B), "lora", tokens)
    assert found / 1e9 == pytest.approx(gflops, rel=0.005)


def test_full_fine_tuning_costs_half_as_much_again_without_attention() -> None:
    model = shape(DEEPSEEK_LLM_7B)
    assert flops_per_token(model, "full", 0) == 1.5 * flops_per_token(model, "lora", 0)


def test_of_experts_only_those_a_token_passes_count() -> None:
    model = shape(V2_LITE)
    assert model.parameters / 1e9 == pytest.approx(15.7, rel=0.01)
    # 2.4 B active as published, less 0.21 B of the input embedding, plus what rounding hides.
    assert 2.2e9 < multiplied_weights(model) < 2.6e9


def test_a_tied_head_is_multiplied_all_the_same() -> None:
    tied = shape({**DEEPSEEK_LLM_7B, "tie_word_embeddings": True})
    assert multiplied_weights(tied) == multiplied_weights(shape(DEEPSEEK_LLM_7B))


def test_a_token_stands_in_a_longer_document_than_the_mean_one() -> None:
    assert typical_tokens([100, 300]) == 250
    assert typical_tokens([]) == 0

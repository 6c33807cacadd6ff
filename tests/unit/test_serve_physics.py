"""What a card could hold by its data sheet: against numbers worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from core.planning.serving import CardSpeed, Workload, card_speed, estimate_serving
from core.planning.shapes import ModelShape, shape_of


def shape(kind: str, **sizes: object) -> ModelShape:
    found = shape_of({"model_type": kind, "max_position_embeddings": 4096, **sizes})
    assert found is not None
    return found


QWEN_1_5B = shape(
    "qwen2", hidden_size=1536, num_hidden_layers=28, intermediate_size=8960,
    num_attention_heads=12, num_key_value_heads=2, vocab_size=151936,
)  # fmt: skip
QWEN_7B = shape(
    "qwen2", hidden_size=3584, num_hidden_layers=28, intermediate_size=18944,
    num_attention_heads=28, num_key_value_heads=4, vocab_size=152064,
)  # fmt: skip
DEEPSEEK_7B = shape(
    "llama", hidden_size=4096, num_hidden_layers=30, intermediate_size=11008,
    num_attention_heads=32, num_key_value_heads=32, vocab_size=102400,
)  # fmt: skip
V2_LITE = shape(
    "deepseek_v2", hidden_size=2048, num_hidden_layers=27, intermediate_size=10944,
    num_attention_heads=16, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128,
    v_head_dim=128, moe_intermediate_size=1408, n_routed_experts=64, num_experts_per_tok=6,
    n_shared_experts=2, first_k_dense_replace=1, vocab_size=102400,
)  # fmt: skip


def speed(name: str) -> CardSpeed:
    found = card_speed(name)
    assert found is not None
    return found


def qps(model: ModelShape, card: str, gib: float, load: Workload) -> float:
    return estimate_serving(model, "bf16", speed(card), load, memory_gib=gib).sustained_qps


@pytest.mark.parametrize(
    ("model", "card", "gib", "cache_millions", "prompt_qps"),
    [
        # tokens: (0.85 * memory - weights - 1.5 GB) / (2 * layers * kv heads * head dim * 2 bytes)
        # rate: 0.6 * arithmetic / (2 * parameters * 128), a tenth more without the embedding
        (QWEN_1_5B, "NVIDIA H200", 140, 4.2, 1100),
        (QWEN_7B, "NVIDIA H200", 140, 1.9, 250),
        (DEEPSEEK_7B, "NVIDIA H200", 140, 0.22, 270),
        (QWEN_7B, "NVIDIA A100-SXM4-80GB", 80, 0.95, 100),
        (QWEN_1_5B, "NVIDIA GeForce RTX 4090", 24, 0.57, 235),
        (QWEN_1_5B, "Tesla T4", 15, 0.30, 92),
    ],
)
def test_cache_and_prompt_rate_agree_with_a_calculation_by_hand(
    model: ModelShape, card: str, gib: float, cache_millions: float, prompt_qps: float
) -> None:
    found = estimate_serving(model, "bf16", speed(card), Workload(128, 32), memory_gib=gib)
    assert found.cache_tokens / 1e6 == pytest.approx(cache_millions, rel=0.06)
    assert found.prompt_qps == pytest.approx(prompt_qps, rel=0.08)


def test_one_stream_is_bound_by_reading_the_weights() -> None:
    found = estimate_serving(
        DEEPSEEK_7B, "bf16", speed("NVIDIA H200"), Workload(128, 64), memory_gib=140
    )
    weights = (DEEPSEEK_7B.parameters - DEEPSEEK_7B.embedding) * 2
    assert found.one_stream_tokens_per_second < 0.65 * 4.3e12 / weights
    assert found.one_stream_tokens_per_second == pytest.approx(195, rel=0.05)


@pytest.mark.parametrize(
    ("model", "card", "gib", "answer", "holds"),
    [
        (QWEN_7B, "NVIDIA H200", 140, 50, True),
        (QWEN_7B, "NVIDIA H200", 140, 75, False),
        (QWEN_7B, "NVIDIA A100-SXM4-80GB", 80, 15, True),
        (QWEN_7B, "NVIDIA A100-SXM4-80GB", 80, 25, False),
        (QWEN_1_5B, "NVIDIA A100-SXM4-80GB", 80, 110, True),
        (QWEN_1_5B, "NVIDIA GeForce RTX 4090", 24, 50, True),
        (DEEPSEEK_7B, "NVIDIA GeForce RTX 4090", 24, 8, False),
    ],
)
def test_fifty_requests_a_second_hold_where_the_longest_answer_allows(
    model: ModelShape, card: str, gib: float, answer: int, holds: bool
) -> None:
    assert (qps(model, card, gib, Workload(128, answer)) >= 50) == holds


def test_a_longer_answer_never_allows_a_higher_rate() -> None:
    rates = [qps(QWEN_7B, "NVIDIA H200", 140, Workload(128, n)) for n in (8, 16, 32, 64, 128)]
    assert all(a >= b for a, b in pairwise(rates))
    assert rates[0] > 0
    assert rates[-1] == 0.0


def test_a_model_that_does_not_fit_holds_nothing() -> None:
    assert qps(QWEN_7B, "Tesla T4", 15, Workload(128, 1, target_s=60)) == 0.0


def test_the_cache_bounds_the_rate_when_the_target_is_generous() -> None:
    load = Workload(4096, 256, target_s=120)
    small, large = (qps(DEEPSEEK_7B, "NVIDIA H200", gib, load) for gib in (24, 140))
    assert 0 < small < large


def test_a_mixture_reads_more_experts_the_more_answers_there_are() -> None:
    card, lone = speed("NVIDIA H200"), Workload(16, 16, target_s=30)
    found = estimate_serving(V2_LITE, "bf16", card, lone, memory_gib=140)
    whole = V2_LITE.parameters * 2
    # One answer reads 6 of 64 experts: several times faster than if all were read.
    assert found.one_stream_tokens_per_second > 2 * 0.65 * 4.3e12 / whole


@pytest.mark.parametrize(
    "name",
    ["", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A100X", "L40G", "T400"],
)
def test_unknown_cards_have_no_data_sheet(name: str) -> None:
    assert card_speed(name) is None


def test_variants_of_a_card_are_told_apart() -> None:
    assert speed("NVIDIA GeForce RTX 4070 Ti SUPER") != speed("NVIDIA GeForce RTX 4070 Ti")
    assert speed("NVIDIA GeForce RTX 4070 Ti") != speed("NVIDIA GeForce RTX 4070")
    assert speed("NVIDIA L40S") != speed("NVIDIA L40")
    assert speed("NVIDIA H100 PCIe") != speed("NVIDIA H100 80GB HBM3")

"""The native forward pass against transformers' own, over packed rows and scattered pages."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from workers.serve.native.linears import PlainWeights
from workers.serve.native.models import Unsuited, suits, take_over, why_not

TIGHT = {"rtol": 1e-4, "atol": 2e-5}


def _scattered_rows() -> list[Row]:
    return [Row([5, 3, 9, 12, 7]), Row([20, 21, 22, 23]), Row([2, 40, 41, 1, 30, 31])]


def _follow_through(driver: Driver) -> None:
    """Whole prompts, a bite over a cached beginning beside decoding rows, and pure decode."""
    a, b, c = _scattered_rows()
    for number, step in enumerate(
        (
            [(a, tokens(7)), (b, tokens(1, 1)), (c, tokens(6, 2))],
            [(a, tokens(1, 3)), (c, tokens(9, 4)), (b, tokens(3, 5))],
            [(a, tokens(1, 6)), (b, tokens(1, 7)), (c, tokens(1, 8))],
        )
    ):
        logits = driver.runner.forward(driver.batch(step))
        expected = torch.cat([driver.expected(row, len(new)) for row, new in step])
        torch.testing.assert_close(logits, expected, **TIGHT, msg=lambda m, n=number: f"{n}: {m}")


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"num_key_value_heads": 4}),
        ("llama", {"num_key_value_heads": 1, "head_dim": 16}),
        ("mistral", {"sliding_window": None}),
        ("mistral", {"sliding_window": 64}),
        ("qwen2", {}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {}),
        ("qwen3", {"attention_bias": True}),
    ],
)
@pytest.mark.parametrize("on_host", [True, False])
def test_mixed_passes_give_the_logits_of_transformers(
    arch: str, changes: dict[str, Any], on_host: bool
) -> None:
    _follow_through(Driver(tiny_model(arch, **changes), on_host=on_host))


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 2.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {"rope_type": "default", "rope_theta": 50.0},
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_every_rotary_embedding_is_that_of_transformers(rope: dict[str, Any]) -> None:
    _follow_through(Driver(tiny_model(rope_parameters={"rope_theta": 10000.0} | rope)))


def test_only_the_asked_for_tokens_give_logits() -> None:
    driver = Driver(tiny_model())
    a, b, _ = _scattered_rows()
    logits = driver.runner.forward(
        driver.batch([(a, tokens(5)), (b, tokens(3, 1))], all_logits=False)
    )
    expected = torch.cat([driver.expected(a, 1), driver.expected(b, 1)])
    torch.testing.assert_close(logits, expected, **TIGHT)


def test_module_weights_are_views_of_the_fused_ones() -> None:
    model = tiny_model()
    driver = Driver(model)
    row, _, _ = _scattered_rows()
    with torch.no_grad():
        for name in ("q_proj", "v_proj"):
            getattr(model.model.layers[1].self_attn, name).weight.add_(0.3)
        model.model.layers[0].mlp.up_proj.weight.mul_(1.5)
    logits = driver.runner.forward(driver.batch([(row, tokens(6))]))
    torch.testing.assert_close(logits, driver.expected(row, 6), **TIGHT)


def test_no_memory_is_doubled_by_fusing() -> None:
    model = tiny_model()
    before = {id(p) for p in model.parameters()}
    native = take_over(model, 64)
    assert {id(p) for p in model.parameters()} == before
    attention = model.model.layers[0].self_attn
    fused = native.linears["model.layers.0.self_attn.q_proj"].projection.weights
    assert isinstance(fused, PlainWeights)
    storage = fused.weight.untyped_storage().data_ptr()
    for name in ("q_proj", "k_proj", "v_proj"):
        assert getattr(attention, name).weight.untyped_storage().data_ptr() == storage


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "gemma2"}, "gemma2"),
        ({"model_type": "llama", "hidden_act": "gelu"}, "gelu"),
        ({"model_type": "llama", "rope_scaling": {"type": "longrope"}}, "longrope"),
        ({"model_type": "llama", "partial_rotary_factor": 0.5}, "rotated"),
    ],
)
def test_what_is_not_known_is_refused_with_its_name(config: dict[str, Any], reason: str) -> None:
    assert reason in why_not(config)
    assert not suits(config)


@pytest.mark.parametrize("arch", ["llama", "mistral", "qwen2", "qwen3"])
def test_known_configurations_suit_before_anything_is_loaded(arch: str) -> None:
    assert suits(tiny_model(arch).config)
    assert suits(tiny_model(arch).config.to_dict())


def test_a_window_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(Unsuited, match="window of 32"):
        take_over(tiny_model("mistral", sliding_window=32), 64)


def test_a_hooked_module_is_refused() -> None:
    model = tiny_model()
    model.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    with pytest.raises(Unsuited, match="hooks"):
        take_over(model, 64)

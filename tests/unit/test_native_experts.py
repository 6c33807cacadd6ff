"""Routed experts over grouped-query attention, natively, against transformers' own forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import AppError, ErrorCode
from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from workers.serve.native.adapters import CONFIG, WEIGHTS
from workers.serve.native.models import experts, suits
from workers.serve.native.ops import reference

TIGHT: dict[str, Any] = {"rtol": 1e-4, "atol": 5e-5}
ROUTED: dict[str, Any] = {
    "head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [0],
}


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("qwen3_moe", {}),
        ("qwen3_moe", {"mlp_only_layers": [], "norm_topk_prob": True}),
        ("qwen2_moe", {"shared_expert_intermediate_size": 24}),
    ],
)
def test_mixed_passes_give_the_logits_of_transformers(arch: str, changes: dict[str, Any]) -> None:
    model = tiny_model(arch, **(ROUTED | changes))
    assert suits(model.config.to_dict())
    driver = Driver(model)
    a, b = Row([5, 3, 9, 12]), Row([20, 21, 22])
    for step in (
        [(a, tokens(7)), (b, tokens(1, 1))],
        [(a, tokens(1, 3)), (b, tokens(6, 5))],
        [(a, tokens(1, 6)), (b, tokens(1, 7))],
    ):
        logits = driver.runner.forward(driver.batch(step))
        oracle = torch.cat([driver.expected(row, len(new)) for row, new in step])
        torch.testing.assert_close(logits, oracle, **TIGHT)


@pytest.mark.parametrize("module", ["mlp.gate", "mlp.experts.3.down_proj"])
def test_an_adapter_of_experts_is_left_to_the_library_and_not_called_a_strangers(
    module: str, tmp_path: Path
) -> None:
    key = f"base_model.model.model.layers.1.{module}"
    pair = {f"{key}.lora_A.weight": torch.ones(2, 32), f"{key}.lora_B.weight": torch.ones(32, 2)}
    save_file(pair, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')
    bank = Driver(tiny_model("deepseek_v2")).runner.adapters
    with pytest.raises(AppError) as refused:
        bank.load("a", tmp_path)
    assert refused.value.code is ErrorCode.ADAPTER_UNSUPPORTED
    assert module in str(refused.value.params["reason"])


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3", "qwen3_moe"])
def test_the_operation_means_what_the_librarys_experts_compute(
    arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def as_on_a_card(name: str, *_: Any) -> Any:
        if name != "routed_experts":
            return None
        taken.append(name)
        return reference.routed_experts

    monkeypatch.setattr(experts.ops, "kernel_of", as_on_a_card)
    changes = ROUTED if arch == "qwen3_moe" else {}
    driver, row = Driver(tiny_model(arch, **changes)), Row([5, 3, 9])
    logits = driver.runner.forward(driver.batch([(row, tokens(9))]))
    torch.testing.assert_close(logits, driver.expected(row, 9), **TIGHT)
    assert taken == ["routed_experts"]

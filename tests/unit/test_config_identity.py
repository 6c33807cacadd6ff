"""What may change when a run goes on, and what may not."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.identity import learning_identity
from core.config.train import TrainSpec


def spec_of(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


@pytest.mark.parametrize(
    "change",
    [
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16},
        {"gradient_checkpointing": "full", "activation_offload": True},
        {"chunked_loss": False, "fast_kernels": False},
        {"lora": {"dtype": "bf16"}},
        {"optim": "adamw_8bit"},
        {"load_in_4bit": True},
        {"oom_ladder": True, "dry_run": False},
    ],
)
def test_saving_memory_does_not_change_what_is_learned(change: dict[str, Any]) -> None:
    assert learning_identity(spec_of(**change)) == learning_identity(spec_of())


@pytest.mark.parametrize(
    "change",
    [
        {"per_device_train_batch_size": 1},
        {"gradient_accumulation_steps": 8},
        {"learning_rate": 1e-4},
        {"seq_len": 256},
        {"seed": 1},
        {"lora": {"r": 8}},
        {"lora": {"target_modules": ["q_proj"]}},
        {"method": "full"},
        {"packing": True},
        {"data": "other"},
        {"parallel": {"strategy": "ddp", "nproc_per_node": 2}},
        {"precision": "fp32"},
    ],
)
def test_what_changes_the_learning_changes_the_identity(change: dict[str, Any]) -> None:
    assert learning_identity(spec_of(**change)) != learning_identity(spec_of())

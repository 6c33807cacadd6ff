"""The forecast in a preview, and resuming with measures against running out of memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.config.train import TrainSpec
from core.datasets import open_dataset
from core.errors import UsageError
from core.hardware import GpuSample, TraceBackend, gpu_users
from core.hardware.gpu_users import spills_over, unnamed_gib
from core.paths import STARTER_MODEL, Home
from core.planning import shape_of
from core.runlog.overrides import effective_spec
from core.runlog.run_dir import RunDir
from core.services import build, memory
from tests.unit.test_planning_shapes import DEEPSEEK_7B

CARD = GpuSample(
    0, "NVIDIA GeForce RTX 4090", memory_used_gib=9.0, memory_total_gib=24.0,
    compute_capability=(8, 9), process_memory_gib={os.getpid(): 8.0, 999_999_999: 0.9, 5: 0.01},
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "law.jsonl"
    rows = ({"instruction": f"What is {n}?", "output": "It is. " * (n + 1)} for n in range(60))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def spec_of(data: Path, **values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "deepdeck-starter", "data": str(data), **values})


def test_a_preview_says_what_memory_a_training_needs(home: Home, data: Path) -> None:
    if not (STARTER_MODEL / "config.json").exists():
        pytest.skip("the starter model is not in this tree")
    plan = build(home).train.prepare(spec_of(data, device="cpu"))
    assert plan.memory is not None
    assert plan.verdict is not None
    assert 0 < plan.memory.total_gib < 3
    assert plan.verdict.room.source == "process"
    assert plan.verdict.fit == "fits"
    assert plan.measures == ()


def test_a_model_too_large_for_the_card_is_told_with_who_is_in_the_way(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "torch_has_cuda", lambda: True)
    dataset = open_dataset(data)
    spec = spec_of(data, load_in_4bit=True, gradient_checkpointing="full", seq_len=4096)
    found = memory.forecast(spec, shape_of(DEEPSEEK_7B), dataset, cards=[CARD])
    assert found is not None
    forecast, verdict = found
    assert forecast.device == "cuda"
    assert verdict.room.free_gib == pytest.approx(15.0)
    assert verdict.fit == "fits"
    wide, verdict_wide = memory.forecast(
        spec_of(data, seq_len=4096), shape_of(DEEPSEEK_7B), dataset, cards=[CARD]
    ) or (None, None)
    assert wide is not None
    assert verdict_wide is not None
    assert verdict_wide.fit == "does_not_fit"
    # Half of the card would do if it were free: that is worth saying.
    assert verdict_wide.would_fit_alone == (wide.total_gib <= 24.0 * 0.92)


def test_the_longest_row_is_bounded_by_data_and_limit(data: Path) -> None:
    dataset = open_dataset(data)
    longest = memory.longest_tokens(dataset)
    assert longest is not None
    assert 150 < longest < 400
    roomy, narrow = (
        memory.situation_of(spec_of(data, seq_len=n), dataset, CARD, 4096) for n in (2048, 64)
    )
    assert roomy.tokens_longest == longest
    assert narrow.tokens_longest == 64
    packed = memory.situation_of(spec_of(data, seq_len=2048, packing=True), dataset, CARD, 4096)
    assert packed.tokens_longest == 2048


def test_precision_follows_the_card(data: Path) -> None:
    old = GpuSample(0, "old", memory_total_gib=8.0, compute_capability=(7, 5))
    dataset = open_dataset(data)
    kinds = [memory.situation_of(spec_of(data), dataset, c, None).dtype for c in (CARD, old, None)]
    assert kinds == ["bf16", "fp32", "fp32"]


def test_other_programs_on_the_card_are_named_and_we_are_not() -> None:
    users = gpu_users(TraceBackend([[CARD]]))
    assert [(u.pid, u.memory_gib) for u in users] == [(999_999_999, 0.9)]
    assert users[0].name == ""
    mine = GpuSample(0, "c", process_memory_gib={os.getpid(): 2.0})
    named = gpu_users(TraceBackend([[mine]]), besides=())
    assert named == ()
    assert unnamed_gib(CARD, users, own_gib=8.0) == pytest.approx(0.1)
    assert gpu_users(TraceBackend([[]])) == ()


def test_more_than_the_card_has_lies_in_the_computer() -> None:
    assert spills_over(CARD, 26.0)
    assert not spills_over(CARD, 23.9)


@pytest.fixture
def stopped(home: Home, data: Path) -> RunDir:
    spec = spec_of(data).model_dump(mode="json")
    run = RunDir.create(home.runs, "run-1", {"v": 1, "job": "train", "spec": spec})
    (run.checkpoints / "step-000003").mkdir(parents=True)
    return run


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"learning_rate": 1.0}, "learning_rate"),
        ({"per_device_train_batch_size": 1}, "window_samples"),
        ({"seq_len": 64}, "seq_len"),
        ({"gradient_checkpointing": "sometimes"}, "gradient_checkpointing"),
    ],
)
def test_resuming_refuses_changes_of_what_is_learned(
    home: Home, stopped: RunDir, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build(home).train.resume(stopped.run_id, changes)
    assert caught.value.code == "input.bad_value"
    assert caught.value.params["field"] == field
    assert not stopped.overrides.exists()


def test_resuming_writes_down_what_it_goes_on_with(
    home: Home, stopped: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = build(home)
    started: list[str] = []
    monkeypatch.setattr(services.supervisor, "start", lambda run, _: started.append(run.run_id))
    changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}
    services.train.resume(stopped.run_id, changes)
    assert started == [stopped.run_id]
    spec = TrainSpec.parse(effective_spec(stopped))
    assert (spec.per_device_train_batch_size, spec.window_samples) == (1, 16)

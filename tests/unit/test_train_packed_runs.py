"""Packed and pre-training runs through the real worker: all of the data, exactly, and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.protocol.events import EvalDone, TrainPlanned, TrainStep
from core.runlog.run_dir import RunDir
from tests.fakes.runs import events_of
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data
from workers.train import findings
from workers.train.random_state import seed_all

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    tiny_model(root / "llama")
    tiny_model(root / "deepseek_v2", "deepseek_v2")
    write_data(root / "data.jsonl", 60)
    texts = ({"text": f"Document {i}: " + "the lazy dog " * (i % 9)} for i in range(40))
    (root / "texts.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts), "utf-8")
    return root


def run_of(shared: Path, runs: Path, arch: str = "llama", **values: Any) -> RunDir:
    values = {"save_steps": 1, "save_total_limit": 99, "seq_len": 128, "dry_run": False} | values
    data = "texts.jsonl" if values.get("stage") == "pretrain" else "data.jsonl"
    lora = {"r": 4, "target_modules": ["all-linear"], "lora_dropout": 0.1}
    return make_run(runs, shared / arch, shared / data, lora=lora, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"packing": True},
        {"packing": True, "arch": "deepseek_v2"},
        {"stage": "pretrain", "seq_len": 64},
        {"stage": "pretrain", "seq_len": 64, "packing": True},
    ],
    ids=["packed", "packed MLA", "pre-training", "pre-training, documents apart"],
)
def test_a_run_that_was_cut_ends_with_the_bytes_of_the_unbroken_one(
    shared: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    from tests.unit.test_train_checkpoint import broken_off

    unbroken = run_of(shared, tmp_path, **values, steps=5)
    assert last_word(run_here(unbroken)).outcome == "completed"
    copy = broken_off(unbroken, 3, tmp_path)
    assert last_word(run_here(copy)).outcome == "completed"
    assert (copy.adapter / WEIGHTS).read_bytes() == (unbroken.adapter / WEIGHTS).read_bytes()


def test_an_epoch_of_packed_rows_trains_every_target_once(shared: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"steps": None, "epochs": 1.0, "save_steps": 0}
    plain = run_here(run_of(shared, tmp_path, **values))
    packed = run_here(run_of(shared, tmp_path, packing=True, **values))
    assert last_word(packed).outcome == "completed"
    targets = [sum(step.target_tokens for step in of(TrainStep, e)) for e in (plain, packed)]
    assert targets[0] == targets[1] > 0
    assert of(TrainStep, packed)[-1].epoch == of(TrainPlanned, packed)[0].epochs == 1.0
    assert len(of(TrainStep, packed)) < len(of(TrainStep, plain))


def test_the_plan_says_how_full_packed_rows_are(shared: Path, tmp_path: Path) -> None:
    (plan,) = of(TrainPlanned, run_here(run_of(shared, tmp_path, packing=True, steps=1)))
    (note,) = (n for n in plan.notes if n.code == findings.PACKED)
    assert note.params["samples"] == plan.train_samples
    assert note.params["rows"] < plan.train_samples / 2
    assert note.params["percent"] > 90


def test_a_packed_run_without_the_logits_learns_the_same(shared: Path, tmp_path: Path) -> None:
    def losses(**values: Any) -> list[float]:
        seed_all(0)
        events = run_here(run_of(shared, tmp_path, packing=True, steps=3, save_steps=0, **values))
        return [step.loss for step in of(TrainStep, events)]

    assert losses(chunked_loss=True) == pytest.approx(losses(chunked_loss=False), rel=1e-5)


def test_a_pre_training_learns_and_is_evaluated_on_its_own_kind(
    shared: Path, tmp_path: Path
) -> None:
    run = run_of(shared, tmp_path, stage="pretrain", seq_len=64, steps=20, save_steps=0)
    run_here(run)
    events = events_of(run)
    steps = of(TrainStep, events)
    assert steps[-1].loss < steps[0].loss - 0.3
    assert all(step.trained_share and step.trained_share > 0.97 for step in steps)
    before, after = (e.loss for e in of(EvalDone, events))
    assert after < before

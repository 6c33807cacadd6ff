"""A checkpoint is whole or not there; a resumed run is the unbroken one, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import AppError, ErrorCode
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    EvalDone,
    RunStarted,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from tests.fakes.runs import events_of
from tests.tiny_models import ARCHITECTURES
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data
from workers.train import checkpoint_files as files

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model and data for all tests here."""
    root = tmp_path_factory.mktemp("shared")
    for arch in ARCHITECTURES:
        tiny_model(root / arch, arch)
    write_data(root / "data.jsonl", 23)
    return root


def run_of(shared: Path, runs: Path, arch: str = "llama", **values: Any) -> RunDir:
    lora = {"r": 4, "target_modules": ["all-linear"], "lora_dropout": 0.2}
    defaults = {"save_steps": 1, "save_total_limit": 99, "lora": lora}
    return make_run(runs, shared / arch, shared / "data.jsonl", **(defaults | values))


@pytest.fixture(scope="module")
def unbroken(shared: Path) -> RunDir:
    """A whole run with a checkpoint at every step. Read only."""
    run = run_of(shared, shared / "runs")
    assert last_word(run_here(run)).outcome == "completed"
    return run


def broken_off(run: RunDir, after_step: int, runs: Path) -> RunDir:
    """A copy of the run as if it had been killed after the checkpoint of `after_step`."""
    copy = RunDir(runs / f"broken-{after_step}")
    shutil.copytree(run.path, copy.path)
    shutil.rmtree(copy.adapter)
    for folder in copy.checkpoints.iterdir():
        if int(folder.name.partition("-")[2]) > after_step:
            shutil.rmtree(folder)
    lines = copy.events.read_bytes().splitlines(keepends=True)
    cut = next(i for i, x in enumerate(lines) if f'"step":{after_step + 1},' in x.decode())
    # A step more than the checkpoint knows of was said, and the next line is torn.
    copy.events.write_bytes(b"".join(lines[: cut + 1]) + b'{"v":1,"kind":"tra')
    return copy


def steps_of(events: list[Any]) -> dict[int, tuple[float, float, float]]:
    return {e.step: (e.loss, e.grad_norm, e.learning_rate) for e in of(TrainStep, events)}


@pytest.mark.parametrize("after_step", [1, 3, 4, 7])
def test_a_resumed_run_ends_with_the_same_bytes_as_the_unbroken_one(
    unbroken: RunDir, tmp_path: Path, after_step: int
) -> None:
    """Dropout, accumulation of unequal rows; the epoch of 22 samples ends within step 4."""
    whole = events_of(unbroken)
    copy = broken_off(unbroken, after_step, tmp_path)
    resumed = run_here(copy)
    assert of(RunStarted, resumed)[-1].resumed_from_step == after_step
    assert [e.seq for e in resumed] == list(range(1, len(resumed) + 1))
    after = [e for e in resumed if e.seq > of(RunStarted, resumed)[-1].seq]
    expected = {k: v for k, v in steps_of(whole).items() if k > after_step}
    assert steps_of(after) == expected
    assert (copy.adapter / WEIGHTS).read_bytes() == (unbroken.adapter / WEIGHTS).read_bytes()
    last = files.folder_name(8)
    for name in (WEIGHTS, "optimizer.safetensors", "random.safetensors"):
        parts = [(r.checkpoints / last / name).read_bytes() for r in (copy, unbroken)]
        assert parts[0] == parts[1], name


@pytest.mark.parametrize("arch", [a for a in ARCHITECTURES if a != "llama"])
def test_every_architecture_resumes_bit_for_bit(shared: Path, tmp_path: Path, arch: str) -> None:
    unbroken = run_of(shared, tmp_path, arch, steps=4)
    assert last_word(run_here(unbroken)).outcome == "completed"
    copy = broken_off(unbroken, 2, tmp_path)
    assert last_word(run_here(copy)).outcome == "completed"
    assert (copy.adapter / WEIGHTS).read_bytes() == (unbroken.adapter / WEIGHTS).read_bytes()


def test_dropout_really_draws_numbers_so_that_the_test_above_means_something(
    unbroken: RunDir, shared: Path, tmp_path: Path
) -> None:
    calm = {"r": 4, "target_modules": ["all-linear"], "lora_dropout": 0.0}
    without = steps_of(run_here(run_of(shared, tmp_path, lora=calm)))
    assert without[8] != steps_of(events_of(unbroken))[8]


def test_evaluation_and_samples_do_not_change_what_is_learned(
    unbroken: RunDir, shared: Path, tmp_path: Path
) -> None:
    watched = run_of(shared, tmp_path, eval_steps=2, sample_prompts=["What is fox?"], save_steps=0)
    run_here(watched)
    assert (unbroken.adapter / WEIGHTS).read_bytes() == (watched.adapter / WEIGHTS).read_bytes()


def test_a_resumed_run_does_not_evaluate_the_start_again_but_still_knows_it(
    shared: Path, tmp_path: Path
) -> None:
    evaluated = run_of(shared, tmp_path, eval_steps=3)
    whole = run_here(evaluated)
    copy = broken_off(evaluated, 4, tmp_path)
    resumed = run_here(copy)
    assert last_word(resumed).result["eval_before"] == last_word(whole).result["eval_before"]
    assert [e.step for e in of(EvalDone, resumed)] == [0, 3, 6, 8]


def damage_size(folder: Path) -> None:
    os.truncate(folder / "optimizer.safetensors", 100)


def damage_bit(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def damage_missing(folder: Path) -> None:
    (folder / "state.json").unlink()


def damage_manifest(folder: Path) -> None:
    (folder / files.MANIFEST).write_text('{"v": 1, "fil')


@pytest.mark.parametrize("damage", [damage_size, damage_bit, damage_missing, damage_manifest])
def test_a_damaged_checkpoint_is_named_and_an_older_one_used(
    unbroken: RunDir, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    copy = broken_off(unbroken, 5, tmp_path)
    damage(copy.checkpoints / "step-000005")
    events = run_here(copy)
    (alarm,) = [a for a in of(AlarmRaised, events) if a.alarm == "checkpoint_damaged"]
    assert "step-000005" in alarm.detail
    assert of(RunStarted, events)[-1].resumed_from_step == 4
    assert (copy.adapter / WEIGHTS).read_bytes() == (unbroken.adapter / WEIGHTS).read_bytes()


def test_with_no_whole_checkpoint_the_run_starts_again_and_says_why(
    unbroken: RunDir, tmp_path: Path
) -> None:
    copy = broken_off(unbroken, 1, tmp_path)
    damage_bit(copy.checkpoints / "step-000001")
    events = run_here(copy)
    assert of(RunStarted, events)[-1].resumed_from_step == 0
    assert [a.alarm for a in of(AlarmRaised, events)] == ["checkpoint_damaged"]
    assert (copy.adapter / WEIGHTS).read_bytes() == (unbroken.adapter / WEIGHTS).read_bytes()


def test_only_the_newest_checkpoints_are_kept(shared: Path, tmp_path: Path) -> None:
    run = run_of(shared, tmp_path, save_total_limit=2)
    events = run_here(run)
    assert [e.step for e in of(CheckpointSaved, events)] == list(range(1, 9))
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-000007", "step-000008"]


def test_changed_data_are_not_trained_on_by_a_resume(tmp_path: Path) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    unbroken = make_run(tmp_path / "runs", model, data, save_steps=1, save_total_limit=9)
    run_here(unbroken)
    copy = broken_off(unbroken, 3, tmp_path)
    write_data(data, 24)
    error = last_word(run_here(copy)).error
    assert error is not None
    assert error.code == ErrorCode.RUN_NOT_RESUMABLE


def test_a_checkpoint_holds_no_base_weights_and_no_pickle(unbroken: RunDir) -> None:
    from safetensors import safe_open

    folder = unbroken.checkpoints / "step-000001"
    assert {p.suffix for p in folder.iterdir()} == {".safetensors", ".json"}
    with safe_open(folder / WEIGHTS, "pt") as f:
        names = list(f.keys())
        assert all("lora_" in n for n in names)
        assert {f.get_tensor(n).dtype for n in names} == {torch.float32}
    state = json.loads((folder / "state.json").read_text())
    assert (state["step"], state["consumed_samples"]) == (1, 6)


def test_a_saved_adapter_gives_the_same_logits_to_whoever_loads_it(
    shared: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = run_of(shared, tmp_path, "deepseek_v3")
    result = last_word(run_here(run)).result
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(shared / "deepseek_v3")
        plain = base(ids).logits
        tuned = PeftModel.from_pretrained(base, run.path / result["adapter"]).eval()
        assert not torch.allclose(tuned(ids).logits, plain, atol=1e-3)
    config = json.loads((run.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(shared / "deepseek_v3")
    assert config["inference_mode"] is True


def test_a_write_that_fails_in_the_middle_leaves_nothing_behind(
    shared: Path, tmp_path: Path, small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real full disk, met after the look for room found enough."""
    from workers.train import checkpoint
    from workers.train.checkpoint import TrainerState

    place = small_disk("64k")
    monkeypatch.setattr(checkpoint, "need_room", lambda *_: None)
    model = torch.nn.Linear(300, 300)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    with pytest.raises(AppError) as caught:
        checkpoint.save(RunDir(place), model, optimizer, TrainerState(step=1))
    assert caught.value.code is ErrorCode.DISK_FULL
    assert list((place / "checkpoints").iterdir()) == []


def test_a_resumed_run_does_not_write_over_the_checkpoint_it_came_from(
    unbroken: RunDir, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "again")
    shutil.copytree(unbroken.path, run.path)
    folder = run.checkpoints / "step-000008"
    before = folder.stat().st_ino
    shutil.rmtree(run.adapter)
    events = run_here(run)
    assert last_word(events).outcome == "completed"
    assert of(RunStarted, events)[-1].resumed_from_step == 8
    assert folder.stat().st_ino == before
    assert (run.adapter / WEIGHTS).is_file()

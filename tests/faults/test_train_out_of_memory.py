"""Memory runs out for real: a worker under a limit, with a micro-batch that is too large for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("resource")

from core.config.train import TrainSpec
from core.paths import PROJECT_ROOT
from core.protocol.events import (
    Event,
    MemoryRanOut,
    RunStarted,
    TrainPlanned,
    TrainStep,
)
from core.runlog.overrides import effective_spec, read_changes
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold
from tests.fakes.runs import events_of
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")

ROOM_MIB = 500
"""For a micro-batch of a few hundred rows of the tiny model, and far from enough for 2,000."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("oom")
    tiny_model(root / "llama")
    write_data(root / "data.jsonl", 64)
    return root


def greedy_run(shared: Path, runs: Path, **values: Any) -> RunDir:
    values = {
        "batch_size": 1024, "gradient_accumulation_steps": 1, "steps": 3, "chunked_loss": False,
        "eval_max_samples": 2, "save_steps": 0, **values,
    }  # fmt: skip
    return make_run(runs, shared / "llama", shared / "data.jsonl", **values)


def train_limited(run: RunDir, mib: int = ROOM_MIB) -> list[Event]:
    """The worker's life under the limit."""
    command = [sys.executable, "-m", "tests.fakes.limited_worker", str(run.path), str(mib)]
    with run.output_log.open("ab") as log:
        subprocess.run(command, cwd=PROJECT_ROOT, stdout=log, stderr=log, timeout=300, check=False)
    return events_of(run)


def test_without_consent_the_run_ends_with_the_reason_and_the_ladder(
    shared: Path, tmp_path: Path
) -> None:
    run = greedy_run(shared, tmp_path)
    events = train_limited(run)
    end = last_word(events)
    assert end.outcome == "failed"
    assert end.error is not None
    assert end.error.code == "train.out_of_memory"
    (event,) = of(MemoryRanOut, events)
    assert event.applied == ""
    assert event.step == 0
    assert event.longest_tokens > 0
    assert [r.code for r in event.ladder][:2] == ["chunked_loss", "selective_checkpointing"]
    assert "smaller_micro_batch" in {r.code for r in event.ladder}
    assert all(r.saves_gib >= 0 for r in event.ladder)
    assert {"memory.while", "memory.largest_part", "memory.longest_sample"} <= {
        f.code for f in event.findings
    }
    assert event.findings[0].params == {"phase": "dry_run"}
    assert not run.overrides.exists()


@pytest.fixture(scope="module")
def climbed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that took what it needed."""
    runs = tmp_path_factory.mktemp("climbed")
    run = greedy_run(shared, runs, oom_ladder=True, save_steps=1, save_total_limit=9)
    train_limited(run)
    return run


def test_with_consent_the_run_climbs_until_it_fits_and_learns_the_same(
    shared: Path, tmp_path: Path, climbed: RunDir
) -> None:
    run, events = climbed, events_of(climbed)
    assert last_word(events).outcome == "completed", last_word(events).error
    ran_out = of(MemoryRanOut, events)
    assert ran_out
    assert all(event.applied for event in ran_out)
    history = json.loads(run.overrides.read_text())["history"]
    assert [entry["code"] for entry in history] == [event.applied for event in ran_out]
    spec = TrainSpec.parse(effective_spec(run))
    assert spec.window_samples == 1024
    roomy = greedy_run(shared, tmp_path / "roomy")
    expected = [s.loss for s in of(TrainStep, run_here(roomy))]
    assert [s.loss for s in of(TrainStep, events)] == pytest.approx(expected, rel=1e-4)
    # What a face shows is one run with one curve.
    state = fold(RunState(), events)
    assert state.steps_done == 3
    assert state.status == "completed"
    assert len(of(RunStarted, events)) == 1 + len(ran_out)


def test_a_later_resume_uses_what_was_applied(climbed: RunDir, tmp_path: Path) -> None:
    run = RunDir(tmp_path / climbed.run_id)
    shutil.copytree(climbed.path, run.path)
    changes = read_changes(run)
    assert changes
    shutil.rmtree(run.checkpoints / "step-000003")
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    assert of(TrainStep, events)[-1].step == 3
    assert read_changes(run) == changes


def test_memory_that_runs_out_in_the_middle_costs_no_step(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator fails for real once, at step 3, in another micro-batch than the first."""
    import torch

    from workers.train.objective import Objective

    run = greedy_run(
        shared, tmp_path, batch_size=4, gradient_accumulation_steps=2, steps=5, oom_ladder=True,
        dry_run=False, lora={"lora_dropout": 0.0},
    )  # fmt: skip
    plain = Objective.nll_sum
    calls = []

    def too_large_once(self: Objective, batch: Any) -> torch.Tensor:
        loss = plain(self, batch)
        if torch.is_grad_enabled():
            calls.append(batch)
            if len(calls) == 6:
                bytearray(2**60)  # a real error of a real allocator
        return loss

    monkeypatch.setattr(Objective, "nll_sum", too_large_once)
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    (event,) = of(MemoryRanOut, events)
    assert event.step == 2
    assert "memory.was_saved" in {f.code for f in event.findings}
    steps = of(TrainStep, events)
    assert [s.step for s in steps] == [1, 2, 3, 4, 5]
    assert [s.resumed_from_step for s in of(RunStarted, events)] == [None, 2]
    assert len(of(TrainPlanned, events)) == 2
    monkeypatch.undo()
    unbroken = greedy_run(
        shared, tmp_path / "b", batch_size=4, gradient_accumulation_steps=2, steps=5,
        dry_run=False, lora={"lora_dropout": 0.0},
    )  # fmt: skip
    expected = [s.loss for s in of(TrainStep, run_here(unbroken))]
    assert [s.loss for s in steps] == pytest.approx(expected, rel=1e-5)


def test_the_micro_batch_is_halved_until_one_row_is_left(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator fails for real for as long as a micro-batch has more than one row."""
    import torch

    from workers.train.objective import Objective

    plain = Objective.nll_sum

    def too_large(self: Objective, batch: Any) -> torch.Tensor:
        rows = batch.input_ids.shape[0] if batch.segments is None else len(batch.segments) - 1
        if torch.is_grad_enabled() and rows > 1:
            bytearray(2**60)  # a real error of a real allocator
        return plain(self, batch)

    monkeypatch.setattr(Objective, "nll_sum", too_large)
    run = greedy_run(shared, tmp_path, batch_size=8, steps=2, oom_ladder=True)
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    applied = [code for event in of(MemoryRanOut, events) for code in event.applied.split(",")]
    assert applied.count("smaller_micro_batch") == 3
    spec = TrainSpec.parse(effective_spec(run))
    assert (spec.per_device_train_batch_size, spec.gradient_accumulation_steps) == (1, 8)
    monkeypatch.undo()
    expected = of(TrainStep, run_here(greedy_run(shared, tmp_path / "b", batch_size=8, steps=2)))
    losses = [s.loss for s in of(TrainStep, events)]
    assert losses == pytest.approx([s.loss for s in expected], rel=1e-4)


def test_everything_is_let_go_before_the_next_try(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import weakref

    import torch

    from workers.train import attempt
    from workers.train.objective import Objective

    models: list[weakref.ref[Any]] = []
    prepare = attempt.prepare

    def watched(*args: Any) -> Any:
        assert not [ref for ref in models if ref() is not None], "the last model is still there"
        parts = prepare(*args)
        models.append(weakref.ref(parts.model))
        return parts

    plain, calls = Objective.nll_sum, []

    def too_large_twice(self: Objective, batch: Any) -> torch.Tensor:
        loss = plain(self, batch)
        if torch.is_grad_enabled():
            calls.append(1)
            if len(calls) in (3, 9):
                bytearray(2**60)
        return loss

    monkeypatch.setattr(attempt, "prepare", watched)
    monkeypatch.setattr(Objective, "nll_sum", too_large_twice)
    run = greedy_run(
        shared, tmp_path, batch_size=4, gradient_accumulation_steps=2, oom_ladder=True, guard="mark"
    )
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    assert len(models) == 3

"""The dry run before the first step: it tries the worst, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from core.protocol.events import DryRunDone, Event, PhaseChanged, TrainPlanned, TrainStep
from core.runlog.run_dir import RunDir
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data
from workers.train.heaviest import find_heaviest

BITSANDBYTES = {"optim": "adamw_8bit"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dry_run")
    tiny_model(root / "llama")
    write_data(root / "data.jsonl", 40)
    return root


def run_of(shared: Path, runs: Path, **values: Any) -> RunDir:
    return make_run(runs, shared / "llama", shared / "data.jsonl", **values)


def train(shared: Path, runs: Path, **values: Any) -> tuple[RunDir, list[Event]]:
    run = run_of(shared, runs, **values)
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    return run, events


@pytest.mark.parametrize(
    "values",
    [
        {"lora": {"r": 4, "lora_dropout": 0.3}},
        {"method": "full", "weight_decay": 0.1},
        {"gradient_checkpointing": "full", "packing": True},
        {"precision": "bf16", "lora": {"r": 4, "dtype": "bf16"}},
        pytest.param(BITSANDBYTES, id="adamw_8bit"),
    ],
)
def test_a_run_with_a_dry_run_equals_the_run_without(
    shared: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    if values is BITSANDBYTES:
        pytest.importorskip("bitsandbytes")
    kept = []
    for dry_run in (False, True):
        run, events = train(shared, tmp_path / str(dry_run), dry_run=dry_run, steps=4, **values)
        losses = [(s.loss, s.grad_norm) for s in of(TrainStep, events)]
        (newest,) = sorted(run.checkpoints.iterdir())
        tensors = {
            f"{file.name}/{name}": tensor
            for file in sorted(newest.glob("*.safetensors"))
            for name, tensor in load_file(file).items()
        }
        kept.append((losses, tensors))
        assert len(of(DryRunDone, events)) == dry_run
    (plain, without), (tried, with_it) = kept
    assert plain == tried
    assert without.keys() == with_it.keys()
    for name, tensor in without.items():
        assert torch.equal(tensor, with_it[name]), name


def test_it_says_what_the_run_will_take(shared: Path, tmp_path: Path) -> None:
    run, events = train(shared, tmp_path, steps=5)
    (done,) = of(DryRunDone, events)
    phases = [p.phase for p in of(PhaseChanged, events)]
    assert phases.index("dry_run") < phases.index("training")
    assert done.finite
    assert done.problems == []
    assert done.rows == 2
    assert done.step_time_s > 0
    assert done.total_time_s == pytest.approx(done.step_time_s * 5)
    assert done.energy_kwh is None  # the processor does not tell its power
    assert 0 < done.peak_memory_gib < (done.memory_limit_gib or 0)
    assert set(done.memory_parts_gib) == {"weights", "optimizer", "activations", "other"}
    assert sum(done.memory_parts_gib.values()) == pytest.approx(done.peak_memory_gib)
    size = sum(p.stat().st_size for p in (run.checkpoints / "step-000005").iterdir())
    assert done.checkpoint_bytes == pytest.approx(size, rel=0.1)
    assert not (run.path / ".dry-run").exists()
    (plan,) = of(TrainPlanned, events)
    assert plan.memory_parts_gib["overhead"] > 0


def test_a_resumed_run_does_not_try_again(shared: Path, tmp_path: Path) -> None:
    import shutil

    run, _ = train(shared, tmp_path, steps=4, save_steps=2, save_total_limit=9)
    shutil.rmtree(run.checkpoints / "step-000004")
    events = run_here(run)
    assert len(of(DryRunDone, events)) == 1
    assert last_word(events).outcome == "completed"


def test_a_save_that_would_fail_is_found_before_hours_are_lost(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import atomic_io

    run = run_of(shared, tmp_path, steps=1)
    room = atomic_io.free_bytes
    monkeypatch.setattr(
        atomic_io, "free_bytes", lambda path: 1000 if ".dry-run" in str(path) else room(path)
    )
    (done,) = of(DryRunDone, run_here(run))
    assert [p.code for p in done.problems] == ["dry_run.save_failed"]
    assert done.checkpoint_bytes > 0


def test_a_disk_too_small_for_all_checkpoints_is_said(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import atomic_io

    run = run_of(shared, tmp_path, steps=1, save_total_limit=1000)
    monkeypatch.setattr(atomic_io, "free_bytes", lambda _: 10 * 1024**2)
    (done,) = of(DryRunDone, run_here(run))
    (problem,) = done.problems
    assert problem.code == "dry_run.disk_small"
    assert problem.params["checkpoints"] == 1002


def test_not_a_number_in_the_model_is_seen_before_the_first_step(
    shared: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from tests.tiny_models import build_tiny

    folder = build_tiny(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if "down_proj" in n)
    weights[name][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    run = make_run(tmp_path / "runs", folder, shared / "data.jsonl", steps=1)
    (done,) = of(DryRunDone, run_here(run))
    assert not done.finite
    assert "dry_run.not_finite" in {p.code for p in done.problems}


@pytest.mark.parametrize("packing", [False, True])
def test_the_heaviest_micro_batch_of_the_whole_run_is_found(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: bool
) -> None:
    from workers.train import attempt, feed
    from workers.train.checkpoint import TrainerState

    seen: list[tuple[int, int]] = []

    class Look:
        """Stands in the trainer's place and walks through the run's windows."""

        def __init__(self, _ctx: Any, parts: Any) -> None:
            self.parts = parts

        def run(self) -> dict[str, Any]:
            state, feeder = TrainerState(), feed.Feed(self.parts)
            most = 0
            for _ in range(self.parts.extent.total_steps):
                fed = feeder.next(state)
                most = max(most, *(b.tokens for b in fed.window.batches))
                state.consumed_samples += fed.consumed
            found = find_heaviest(self.parts)
            assert found.exact
            assert found.batch.tokens == found.places
            seen.append((most, found.places))
            hurried = find_heaviest(self.parts, search_s=-1.0)
            assert not hurried.exact
            assert packing or hurried.places >= found.places
            return {}

    monkeypatch.setattr(attempt, "Trainer", Look)
    run_here(run_of(shared, tmp_path, steps=None, epochs=2, packing=packing, dry_run=False))
    ((most, found),) = seen
    assert found == most


def test_the_gradient_of_a_step_does_not_depend_on_the_size_of_micro_batches(
    shared: Path, tmp_path: Path
) -> None:
    from core.config.train import TrainSpec
    from core.planning.ladder import apply, smaller_micro_batch

    shapes = [(4, 3)]
    spec = TrainSpec(model="m", data="d", batch_size=4, gradient_accumulation_steps=3)
    changed = apply(spec, smaller_micro_batch(spec))
    shapes.append((changed.per_device_train_batch_size, changed.gradient_accumulation_steps))
    assert shapes[1] == (2, 6)
    curves = []
    for rows, steps in shapes:
        _, events = train(
            shared, tmp_path / str(rows), batch_size=rows, gradient_accumulation_steps=steps,
            steps=6, learning_rate=1e-2,
        )  # fmt: skip
        curves.append([(s.loss, s.grad_norm, s.target_tokens) for s in of(TrainStep, events)])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_batch_far_too_large_for_the_computer_is_not_tried(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    """The system would kill the worker, or somebody else, instead of letting it fail."""
    from core.protocol.events import MemoryRanOut
    from workers.train.device import MemoryMeter

    monkeypatch.setattr(MemoryMeter, "free_gib", lambda _: 0.01)
    events = run_here(
        run_of(
            shared, tmp_path, batch_size=256, gradient_accumulation_steps=1, steps=1,
            dry_run=dry_run,
        )
    )  # fmt: skip
    assert last_word(events).outcome == "failed"
    assert not of(TrainStep, events)
    (event,) = of(MemoryRanOut, events)
    assert event.needed_gib > 0.01
    assert "smaller_micro_batch" in {r.code for r in event.ladder}
    roomy = run_of(shared, tmp_path / "b", batch_size=256, gradient_accumulation_steps=1, steps=1,
                   oom_ladder=True, dry_run=dry_run)  # fmt: skip
    events = run_here(roomy)
    (first, *_) = of(MemoryRanOut, events)
    assert "smaller_micro_batch" in first.applied

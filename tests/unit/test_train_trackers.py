"""Curves that other tools get, and what happens when those are missing or fail."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from core.protocol.commands import RollBackCommand
from core.protocol.events import AlarmRaised, TrainStep
from tests.guarded_runs import guarded_run, run_with, sends
from tests.train_runs import last_word, of, run_here, tiny_model, write_data
from workers.train.trainer import Trainer

pytestmark = pytest.mark.slow
HAS_TENSORBOARD = find_spec("tensorboard") is not None
MISSING = next((n for n in ("wandb", "tensorboard") if find_spec(n) is None), "")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tracked")
    tiny_model(root / "model")
    write_data(root / "data.jsonl", 23)
    return root


@pytest.mark.skipif(not MISSING, reason="both trackers are installed")
def test_a_missing_package_is_said_before_anything_is_loaded(shared: Path, tmp_path: Path) -> None:
    run = guarded_run(tmp_path, shared, steps=2, report_to=[MISSING])
    events = run_here(run)
    error = last_word(events).error
    assert error is not None
    assert error.code == "train.needs_package"
    assert error.params["package"] == MISSING
    assert not of(TrainStep, events)


@pytest.mark.skipif(not HAS_TENSORBOARD, reason="needs tensorboard")
def test_tensorboard_shows_the_curve_that_counts_after_a_rollback(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = guarded_run(
        tmp_path, shared, steps=9, report_to=["tensorboard"], rollback={"snapshot_steps": 3}
    )
    events = run_with(run, monkeypatch, {5: sends(RollBackCommand())})
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    points = [(p.step, p.value) for p in found.Scalars("train/loss")]
    told = {s.step: s.loss for s in of(TrainStep, events)}
    assert [step for step, _ in points] == list(range(1, 10))
    assert [value for _, value in points] == pytest.approx(list(told.values()), rel=1e-6)
    assert found.Scalars("eval/held_out_loss")


class Broken:
    """A tracker whose disk is gone."""

    def log(self, *_: object) -> None:
        raise OSError("no such device")

    def went_back(self, _: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def test_a_tracker_that_fails_is_dropped_and_the_run_goes_on(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(trainer: Trainer, _: object) -> None:
        trainer._trackers._open["tensorboard"] = Broken()

    run = guarded_run(tmp_path, shared, steps=4)
    events = run_with(run, monkeypatch, {2: attach})
    assert last_word(events).outcome == "completed"
    (alarm,) = [a for a in of(AlarmRaised, events) if a.alarm == "tracker_failed"]
    assert (alarm.step, alarm.severity) == (3, "note")
    assert "no such device" in alarm.detail


def test_nothing_is_opened_unless_it_was_asked_for(shared: Path, tmp_path: Path) -> None:
    run = guarded_run(tmp_path, shared, steps=1)
    run_here(run)
    assert not (run.path / "tensorboard").exists()
    assert not (run.path / "wandb").exists()

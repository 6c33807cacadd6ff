"""A worker that saves itself, as faces see it: over control.jsonl, a kill, and a new face."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from core.paths import Home
from core.protocol.commands import SetLearningRateCommand
from core.protocol.events import RolledBack, TrainStep
from core.supervisor import Supervisor, load_view
from tests.fakes.runs import Runs, events_of
from tests.guarded_runs import guarded_run, taught_model, write_sentences
from tests.train_runs import MODULE, of
from workers.train.checkpoint_files import steps as checkpoint_steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guarded")
    taught_model(root / "model")
    write_sentences(root / "data.jsonl")
    return root


def test_a_run_rolls_itself_back_is_killed_and_goes_on_from_the_good_branch(
    home: Home, supervisor: Supervisor, runs: Runs, shared: Path
) -> None:
    run = guarded_run(home.runs, shared, steps=400, save_steps=10)
    supervisor.start(run, MODULE)
    runs.until_step(run, 60)
    supervisor.send(run.run_id, SetLearningRateCommand(lr_scale=100))
    view = runs.until(run, lambda v: bool(v.state.rollbacks))
    (back,) = view.state.rollbacks
    view = runs.until(run, lambda v: bool(v.state.step) and v.state.step.step > back.to_step)
    assert view.state.lr_scale == pytest.approx(1 / 3)
    # What was left is kept beside the curve, and a new face folds the same.
    (branch,) = view.series.abandoned
    assert branch.loss.last[0] == back.step
    os.kill(view.pid, signal.SIGKILL)
    runs.until(run, lambda v: v.verdict is not None)
    again = load_view(run)
    assert again.series.abandoned[0].loss.ys.tolist() == branch.loss.ys.tolist()
    assert max(checkpoint_steps(run)) < back.step
    supervisor.start(run, MODULE)
    seq = len(events_of(run))
    runs.until(run, lambda v: v.state.last_seq > seq and v.state.steps_done > back.step)
    supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "stopped"
    events = events_of(run)
    assert len(of(RolledBack, events)) == 1
    assert of(TrainStep, events)[-1].learning_rate == 1e-3
    assert of(TrainStep, events)[-1].loss < 1

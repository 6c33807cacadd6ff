"""Training in real worker processes, driven as a face drives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.datasets import open_dataset
from core.paths import Home
from core.protocol.commands import ContinueCommand, PauseCommand, SaveCommand
from core.protocol.events import (
    ArtifactSaved,
    CheckpointSaved,
    CommandAcknowledged,
    EvalDone,
    PhaseChanged,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from core.supervisor import Supervisor
from tests.fakes.runs import Runs, events_of
from tests.train_runs import MODULE, last_word, make_run, of, run_here, tiny_model, write_data
from workers.train.chat import FALLBACK_TEMPLATE

pytestmark = pytest.mark.slow
LONG = {"steps": 100_000}
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    tiny_model(root / "model")
    write_data(root / "data.jsonl", 23)
    return root


@pytest.fixture
def start(home: Home, supervisor: Supervisor, shared: Path) -> object:
    """Starts a worker on the shared model and data."""

    def begin(**values: object) -> RunDir:
        run = make_run(home.runs, shared / "model", shared / "data.jsonl", **values)
        supervisor.start(run, MODULE)
        return run

    return begin


def test_a_run_tells_its_story_from_plan_to_adapter(start, runs: Runs) -> None:
    run = start(steps=4, eval_steps=2, sample_prompts=["What is fox?"])
    view = runs.until_finished(run)
    events = events_of(run)
    assert view.status == "completed", view.state.error
    (plan,) = of(TrainPlanned, events)
    assert (plan.total_steps, plan.train_samples, plan.eval_samples) == (4, 22, 1)
    assert (plan.target_modules, plan.memory_source) == (["q_proj", "v_proj"], "process")
    assert 0 < plan.trainable_parameters < 0.2 * plan.total_parameters
    steps = of(TrainStep, events)
    assert [s.step for s in steps] == [1, 2, 3, 4]
    assert all(s.loss > 0 and s.grad_norm > 0 and s.tokens_per_second > 0 for s in steps)
    assert all(0 < s.memory_gib <= s.peak_memory_gib for s in steps)
    assert [(e.step, e.split) for e in of(EvalDone, events)] == [
        (0, "held_out"), (2, "held_out"), (4, "held_out"),
    ]  # fmt: skip
    assert [s.step for s in of(SampleGenerated, events)] == [0, 2, 4]
    assert [a.artifact for a in of(ArtifactSaved, events)] == ["adapter"]
    assert {"starting", "reading_data", "loading_model", "evaluating", "training", "saving"} <= {
        p.phase for p in of(PhaseChanged, events)
    }
    assert (run.adapter / WEIGHTS).is_file()
    result = last_word(events).result
    assert result["adapter"] == "adapter"
    assert result["eval_after"]["held_out"] < result["eval_before"]["held_out"]


def test_a_worker_gives_the_same_adapter_as_the_same_run_elsewhere(
    start, runs: Runs, shared: Path, tmp_path: Path
) -> None:
    run = start(steps=3)
    runs.until_finished(run)
    twin = make_run(tmp_path, shared / "model", shared / "data.jsonl", steps=3)
    run_here(twin)
    assert (run.adapter / WEIGHTS).read_bytes() == (twin.adapter / WEIGHTS).read_bytes()


def test_a_stopped_run_saves_and_goes_on_later(
    start, runs: Runs, supervisor: Supervisor, home: Home
) -> None:
    run = start(**LONG)
    runs.until_step(run, 2)
    supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert (view.status, view.state.reason) == ("stopped", "stop_requested")
    done = last_word(events_of(run)).result["steps"]
    assert [e.step for e in of(CheckpointSaved, events_of(run))] == [done]
    assert (run.adapter / WEIGHTS).is_file()
    supervisor.start(run, MODULE)
    runs.until_step(run, done + 2)
    supervisor.stop(run.run_id)
    runs.until_finished(run)
    assert of(RunStarted, events_of(run))[-1].resumed_from_step == done
    steps = [e.step for e in of(TrainStep, events_of(run))]
    assert steps == list(range(1, len(steps) + 1))


def test_a_stop_without_saving_leaves_no_checkpoint(
    start, runs: Runs, supervisor: Supervisor
) -> None:
    run = start(**LONG)
    runs.until_step(run, 1)
    supervisor.stop(run.run_id, save=False)
    assert runs.until_finished(run).status == "stopped"
    assert not run.checkpoints.exists()
    assert not run.adapter.exists()


def test_a_run_pauses_saves_on_request_and_continues(
    start, runs: Runs, supervisor: Supervisor
) -> None:
    run = start(**LONG)
    runs.until_step(run, 1)
    pause = supervisor.send(run.run_id, PauseCommand())
    view = runs.until(run, lambda v: v.state.paused)
    assert pause in view.state.acknowledged
    save = supervisor.send(run.run_id, SaveCommand())
    view = runs.until(run, lambda v: save in v.state.acknowledged)
    held = view.state.step.step
    assert [c.step for c in view.state.checkpoints] == [held]
    supervisor.send(run.run_id, ContinueCommand())
    runs.until_step(run, held + 2)
    supervisor.stop(run.run_id)
    runs.until_finished(run)
    answers = of(CommandAcknowledged, events_of(run))
    assert [(a.command, a.accepted) for a in answers] == [
        ("pause", True), ("save", True), ("continue", True), ("stop", True),
    ]  # fmt: skip


def test_a_stop_while_everything_is_still_loading_is_obeyed(
    start, runs: Runs, supervisor: Supervisor
) -> None:
    run = start(**LONG)
    runs.until(run, lambda v: v.state.phase == "starting")
    supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "stopped"
    assert view.verdict is None
    assert not of(TrainStep, events_of(run))


def test_a_base_model_without_a_chat_template_hands_its_own_on_with_the_adapter(
    tmp_path: Path,
) -> None:
    model = tiny_model(tmp_path / "m", template="none")
    run = make_run(tmp_path / "runs", model, write_data(tmp_path / "d.jsonl"), steps=1)
    assert last_word(run_here(run)).outcome == "completed"
    assert (run.adapter / "chat_template.jinja").read_text("utf-8") == FALLBACK_TEMPLATE


def test_a_run_by_epochs_sees_every_sample_as_often(tmp_path: Path) -> None:
    data = write_data(tmp_path / "d.jsonl")
    samples = open_dataset(data).counts["train"]
    run = make_run(tmp_path / "runs", tiny_model(tmp_path / "m"), data, steps=None, epochs=2)
    events = run_here(run)
    assert of(TrainStep, events)[-1].epoch == 2.0
    assert of(TrainPlanned, events)[0].total_steps == -(-2 * samples // 6)
    assert of(TrainStep, events)[-1].learning_rate == pytest.approx(1e-3)


def test_plain_text_is_trained_too(tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text('{"text": "The quick brown fox."}\n' * 8)
    run = make_run(tmp_path / "runs", tiny_model(tmp_path / "m"), data, steps=30)
    steps = of(TrainStep, run_here(run))
    assert steps[-1].loss < steps[0].loss - 0.3


def test_a_gguf_file_is_trained_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.tiny_gguf import build_tiny_gguf

    model = build_tiny_gguf(tmp_path / "m")
    data = write_data(tmp_path / "d.jsonl")
    events = run_here(make_run(tmp_path / "runs", model, data, steps=20))
    assert last_word(events).outcome == "completed", last_word(events).error
    twin = make_run(tmp_path / "runs", model.parent / "hf", data, steps=20)
    steps, same = of(TrainStep, events), of(TrainStep, run_here(twin))
    assert steps[-1].loss < steps[0].loss - 0.05
    # The tokenizer inside a GGUF file puts no BOS before plain text; chat text has its own.
    assert [s.loss for s in steps] == pytest.approx([s.loss for s in same], abs=1e-4)

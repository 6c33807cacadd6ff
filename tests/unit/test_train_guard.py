"""Runs that go wrong and are put right: each fault by real means, on a small model, on the CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.protocol.commands import (
    Command,
    ContinueCommand,
    ExcludeCommand,
    PauseCommand,
    RollBackCommand,
    SaveCommand,
    SetLearningRateCommand,
    StopCommand,
)
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    CommandAcknowledged,
    EvalDone,
    Event,
    LearningRateChanged,
    RolledBack,
    SampleGenerated,
    SamplesExcluded,
    TrainStep,
)
from core.runlog.evidence import read_evidence
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold
from tests.fakes.runs import events_of
from tests.guarded_runs import (
    Deed,
    guarded_run,
    run_with,
    sends,
    taught_model,
    write_noise_to_learn,
    write_sentences,
)
from tests.train_runs import last_word, of, run_here
from workers.train.checkpoint_files import steps as checkpoint_steps
from workers.train.trainer import Trainer

pytestmark = pytest.mark.slow
FAULT_STEP = 60
NEAR_NATS = 0.1
WEIGHTS = "adapter_model.safetensors"
LR_TIMES_100 = {FAULT_STEP: sends(SetLearningRateCommand(lr_scale=100))}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guarded")
    taught_model(root / "model")
    write_sentences(root / "data.jsonl")
    return root


@pytest.fixture(scope="module")
def clean_loss(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What the run reaches when nothing goes wrong."""
    events = run_here(guarded_run(tmp_path_factory.mktemp("clean"), shared))
    assert not of(AlarmRaised, events)
    return final_eval(events)


def final_eval(events: list[Event]) -> float:
    return of(EvalDone, events)[-1].loss


def alarms(events: list[Event], action: str) -> list[str]:
    return [a.alarm for a in of(AlarmRaised, events) if a.action == action]


def answered_when_paused(run: RunDir, *commands: Command) -> threading.Thread:
    """A person: waits for the alarm that pauses the run, then sends these, the last one a stop."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while not fold(RunState(), events_of(run)).paused and time.monotonic() < deadline:
            time.sleep(0.05)
        for command in (*commands, StopCommand()):
            sends(command)(None, run)  # type: ignore[arg-type]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def spoiled_adapter(trainer: Trainer, _: RunDir) -> None:
    """Bits fell over: the adapter's weights are noise."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in trainer._parts.model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=1.0)


def test_a_rate_times_100_is_rolled_back_and_the_run_ends_well(
    shared: Path, tmp_path: Path, clean_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared)
    events = run_with(run, monkeypatch, LR_TIMES_100)
    assert last_word(events).outcome == "completed"
    assert final_eval(events) < clean_loss + NEAR_NATS
    (back,) = of(RolledBack, events)
    assert (back.alarm, back.attempt, back.source) == ("diverging", 1, "memory")
    assert back.to_step < FAULT_STEP < back.step <= FAULT_STEP + 20
    (alarm,) = [a for a in of(AlarmRaised, events) if a.action == "rollback"]
    # The gradient shot up some steps before the mean of the loss showed it.
    assert alarm.diagnosis[0].code in ("gradient_rising", "gradient_jumped")
    # Back to the rate that was healthy, and a third of that: 3e-3 to exactly 1e-3.
    assert of(TrainStep, events)[-1].learning_rate == 1e-3
    # The next step has the next number, and other data than the branch that was left.
    behind = of(TrainStep, events[events.index(back) :])
    assert behind[0].step == back.to_step + 1
    assert behind[0].learning_rate == pytest.approx(1e-3 / 20)
    seen = [s.epoch for s in of(TrainStep, events)]
    assert seen == sorted(seen)
    # Nothing of that branch can be resumed.
    assert checkpoint_steps(run) == [back.to_step, 120]


def test_spoiled_weights_are_put_back(
    shared: Path, tmp_path: Path, clean_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = run_with(guarded_run(tmp_path, shared), monkeypatch, {FAULT_STEP: spoiled_adapter})
    assert len(of(RolledBack, events)) == 1
    assert final_eval(events) < clean_loss + NEAR_NATS


def test_an_alarm_shows_the_batch_behind_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, steps=90)
    events = run_with(run, monkeypatch, {FAULT_STEP: spoiled_adapter})
    (alarm,) = [a for a in of(AlarmRaised, events) if a.action == "rollback"]
    evidence = read_evidence(run.path, alarm.evidence)
    assert (evidence.step, evidence.alarm) == (alarm.step, "diverging")
    losses = [s.loss for s in evidence.samples if s.loss is not None]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 1
    found = [f.code for f in alarm.diagnosis]
    assert found[0] in ("gradient_rising", "gradient_jumped", "gradient_calm")
    assert "data_ordinary" in found  # it was not the data
    one = evidence.samples[0]
    lines = (shared / "data.jsonl").read_text("utf-8").splitlines()
    trained = "".join(p.text for p in one.pieces if p.trained)
    assert trained.removesuffix("<|eos|>") in lines[one.line - 1]
    assert one.file.endswith("data.jsonl")


def poisoned(shared: Path, folder: Path, places: tuple[int, ...]) -> Path:
    """Data in which some samples have a word that only they have."""
    lines = (shared / "data.jsonl").read_text("utf-8").splitlines()
    for place in places:
        lines[place] = '{"prompt": "Go 1", "completion": "天气"}'
    path = folder / "poisoned.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def breaks_on(word: str) -> Callable[[Trainer, RunDir], None]:
    """The embedding of one word is damaged in memory."""

    def deed(trainer: Trainer, _: RunDir) -> None:
        (token, *_) = trainer._parts.tokenizer.encode(word, add_special_tokens=False)
        with torch.no_grad():
            trainer._parts.model.get_input_embeddings().weight[token] = float("nan")

    return deed


def test_a_sample_that_gives_nan_is_skipped_shown_and_excluded(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = poisoned(shared, tmp_path, (100,))
    run = guarded_run(tmp_path / "runs", shared, data=data, guard="notify")
    found: list[int] = []

    def exclude(trainer: Trainer, run: RunDir) -> None:
        alarm = of(AlarmRaised, events_of(run))[0]
        worst = read_evidence(run.path, alarm.evidence).samples[0]
        found.extend((worst.sample, worst.line))
        sends(ExcludeCommand(samples=[worst.sample]))(trainer, run)

    events = run_with(run, monkeypatch, {1: breaks_on("天气"), 45: exclude})
    assert found[1] == 101
    first = of(AlarmRaised, events)[0]
    assert first.diagnosis[0].code == "gradient_non_finite"
    assert "data_unreadable_samples" in [f.code for f in first.diagnosis]
    assert alarms(events, "notify")[0] == "non_finite"
    skipped = [s.step for s in of(TrainStep, events) if s.update_skipped]
    assert skipped
    assert max(skipped) <= 45  # three more epochs follow, without it
    assert [e.samples for e in of(SamplesExcluded, events)] == [[found[0]]]
    assert torch.isfinite(torch.tensor([s.loss for s in of(TrainStep, events)][45:])).all()


def test_labels_that_stay_wrong_end_in_a_pause_that_asks(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(
        tmp_path, shared, steps=400, rollback={"snapshot_steps": 10, "max_rollbacks": 1}
    )

    def garble(trainer: Trainer, _: RunDir) -> None:
        generator = torch.Generator().manual_seed(3)
        for row in trainer._parts.data.train.rows:
            row.ids[:] = torch.randint(3, 300, (len(row),), generator=generator).numpy()

    person = answered_when_paused(run)
    events = run_with(run, monkeypatch, {FAULT_STEP: garble})
    person.join()
    assert alarms(events, "pause")[0] in ("diverging", "level_shift")
    assert len(of(RolledBack, events)) <= 1
    assert last_word(events).outcome == "stopped"


def test_with_guard_pause_the_run_holds_and_a_person_rolls_it_back(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, guard="pause")
    person = answered_when_paused(run, RollBackCommand())
    events = run_with(run, monkeypatch, LR_TIMES_100)
    person.join()
    (alarm,) = [a for a in of(AlarmRaised, events) if a.action == "pause"]
    (back,) = of(RolledBack, events)
    assert alarm.can_go_back_to == back.to_step
    assert (back.alarm, back.step) == ("user", alarm.step)
    # Pausing keeps the healthy state on disk as well.
    assert alarm.can_go_back_to in [c.step for c in of(CheckpointSaved, events)]
    assert all(a.accepted for a in of(CommandAcknowledged, events))


@pytest.mark.parametrize("guard", ["mark", "notify"])
def test_a_guard_that_may_only_speak_does_nothing_else(
    guard: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, guard=guard, steps=90)
    events = run_with(run, monkeypatch, LR_TIMES_100)
    assert "diverging" in alarms(events, guard)
    assert not of(RolledBack, events)
    assert of(TrainStep, events)[-1].learning_rate == pytest.approx(0.3)
    assert checkpoint_steps(run) == [90]


def test_guard_save_keeps_the_state_from_before_the_trouble(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, guard="save", steps=110, save_steps=10, save_total_limit=2)
    events = run_with(run, monkeypatch, LR_TIMES_100)
    alarm = next(a for a in of(AlarmRaised, events) if a.alarm == "diverging")
    assert alarm.action == "save"
    assert checkpoint_steps(run) == [alarm.can_go_back_to, 100, 110]


def crash(*_: Any) -> None:
    """Nothing is saved any more."""
    raise RuntimeError("crash")


@pytest.mark.parametrize("crash_step", [66, 95])
def test_a_run_with_a_rollback_gives_the_same_bytes_when_it_was_cut_and_resumed(
    crash_step: int, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"save_steps": 40, "lora": {"lora_dropout": 0.1}}
    fault: dict[int, Deed] = {50: spoiled_adapter}
    straight = guarded_run(tmp_path / "straight", shared, **values)
    events = run_with(straight, monkeypatch, fault)
    (back,) = of(RolledBack, events)
    cut = guarded_run(tmp_path / "cut", shared, **values)
    crashed = run_with(cut, monkeypatch, {**fault, crash_step: crash})
    assert last_word(crashed).outcome == "failed"
    resumed = run_here(cut)
    assert last_word(resumed).outcome == "completed"
    assert (cut.adapter / WEIGHTS).read_bytes() == (straight.adapter / WEIGHTS).read_bytes()
    assert of(TrainStep, resumed)[-1].epoch == of(TrainStep, events)[-1].epoch
    assert back.to_step < 50


def test_what_a_person_decided_holds_after_a_crash_without_a_checkpoint(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(trainer: Trainer, run: RunDir) -> None:
        sends(SetLearningRateCommand(lr_scale=0.5))(trainer, run)
        sends(ExcludeCommand(samples=[7, 9]))(trainer, run)

    run = guarded_run(tmp_path, shared, steps=14, save_steps=8)
    run_with(run, monkeypatch, {10: decide, 12: crash})
    seen: list[list[int]] = []
    events = run_with(run, monkeypatch, {14: lambda t, _: seen.append(t._state.excluded)})
    resumed = [s for s in of(TrainStep, events) if s.step > 8][-6:]
    assert [(s.step, s.learning_rate) for s in resumed] == [(n, 1.5e-3) for n in range(9, 15)]
    assert seen == [[7, 9]]


def test_a_stop_in_the_middle_of_a_step_drops_it_and_loses_nothing(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with dropout: what the dropped window had drawn is given back."""
    values = {
        "steps": 6,
        "batch_size": 1,
        "gradient_accumulation_steps": 8,
        "lora": {"lora_dropout": 0.2},
    }
    straight, cut = (guarded_run(tmp_path / n, shared, **values) for n in ("straight", "cut"))
    run_here(straight)

    def stop_at_the_next_micro_batch(trainer: Trainer, _: RunDir) -> None:
        asked: list[bool] = []
        stepper, ctx = trainer._parts.stepper, trainer._ctx

        def gives_up() -> bool:
            asked.append(True)
            if len(asked) == 4:
                ctx.stop.ask("stop_requested")
            return ctx.stop_requested

        stepper.gives_up = gives_up

    events = run_with(cut, monkeypatch, {3: stop_at_the_next_micro_batch})
    assert last_word(events).outcome == "stopped"
    assert [s.step for s in of(TrainStep, events)] == [1, 2, 3]
    run_here(cut)
    assert (cut.adapter / WEIGHTS).read_bytes() == (straight.adapter / WEIGHTS).read_bytes()


def test_over_fitting_is_seen_and_the_best_adapter_is_still_there(
    shared: Path, tmp_path: Path
) -> None:
    data = write_noise_to_learn(tmp_path / "data")
    how = {"data": data, "steps": 60, "eval_steps": 10, "learning_rate": 5e-3, "guard": "notify"}
    how |= {"lora": {"target_modules": ["all-linear"]}, "sample_prompts": ["Go 1"]}
    run = guarded_run(tmp_path / "runs", shared, **how)
    events = run_here(run)
    evals = {e.step: e.loss for e in of(EvalDone, events) if e.step}
    assert "overfit" in alarms(events, "notify")
    best = min(evals, key=lambda step: evals[step])
    assert best < 60
    assert [c.step for c in of(CheckpointSaved, events) if c.best][-1] == best
    assert {best, 60} <= set(checkpoint_steps(run))
    assert [s.step for s in of(SampleGenerated, events)] == [0, *evals]


def test_without_a_card_a_pause_that_frees_it_says_so_and_holds(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause_and_go_on(trainer: Trainer, run: RunDir) -> None:
        sends(PauseCommand(free_gpu=True))(trainer, run)
        sends(SaveCommand())(trainer, run)
        sends(ContinueCommand())(trainer, run)

    run = guarded_run(tmp_path, shared, steps=4)
    events = run_with(run, monkeypatch, {2: pause_and_go_on})
    answers = [(a.command, a.accepted, a.detail) for a in of(CommandAcknowledged, events)]
    assert answers == [
        ("pause", True, "nothing_to_free"), ("save", True, ""), ("continue", True, ""),
    ]  # fmt: skip
    assert [c.step for c in of(CheckpointSaved, events)] == [2, 4]


def test_commands_that_cannot_be_are_refused_with_a_reason(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, steps=4)
    everything = ExcludeCommand(samples=list(range(1000)))
    all_of_it = ExcludeCommand(samples=list(range(228)))
    deeds = {
        1: sends(SetLearningRateCommand(lr_scale=1e6)),
        2: sends(everything),
        3: sends(all_of_it),
    }
    events = run_with(run, monkeypatch, deeds)
    answers = [(a.accepted, a.detail) for a in of(CommandAcknowledged, events)]
    assert answers == [(False, "out_of_range"), (False, "unknown_sample"), (False, "nothing_left")]
    assert not of(LearningRateChanged, events)


def test_a_rate_that_was_set_by_hand_holds_and_is_told(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = guarded_run(tmp_path, shared, steps=20)
    events = run_with(run, monkeypatch, {10: sends(SetLearningRateCommand(lr_scale=0.5))})
    rates = {s.step: (s.learning_rate, s.lr_scale) for s in of(TrainStep, events)}
    assert rates[10] == (3e-3, 1.0)
    assert rates[11] == rates[20] == (1.5e-3, 0.5)
    (told,) = of(LearningRateChanged, events)
    assert (told.step, told.learning_rate, told.reason) == (10, 1.5e-3, "user")


def test_going_on_after_a_pause_needs_no_alarm(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = run_with(
        guarded_run(tmp_path, shared, steps=4), monkeypatch, {2: sends(ContinueCommand())}
    )
    assert last_word(events).outcome == "completed"

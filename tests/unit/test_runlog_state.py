"""What a run's events add up to."""

from __future__ import annotations

from core.protocol.events import (
    AlarmCleared,
    AlarmRaised,
    CheckpointSaved,
    CommandAcknowledged,
    EvalDone,
    Event,
    PhaseChanged,
    RolledBack,
    RunFinished,
    RunStarted,
    TrainPlanned,
    TrainStep,
    UnknownEvent,
)
from core.runlog.state import MAX_ALARMS, RunState, fold


def told(*events: Event) -> RunState:
    return fold(RunState(), [e.model_copy(update={"seq": n}) for n, e in enumerate(events, 1)])


def test_a_run_that_has_said_nothing_is_starting() -> None:
    assert RunState().status == "starting"
    assert RunState().progress is None


def test_progress_is_steps_done_of_steps_planned() -> None:
    state = told(RunStarted(), TrainPlanned(total_steps=8), TrainStep(step=2))
    assert state.progress == 0.25


def test_progress_without_a_plan_is_the_phase_s() -> None:
    assert told(RunStarted(), PhaseChanged(phase="downloading", fraction=0.4)).progress == 0.4


def test_a_resume_voids_what_lay_behind_its_checkpoint() -> None:
    state = told(
        RunStarted(pid=7),
        TrainPlanned(total_steps=10),
        *(TrainStep(step=n) for n in range(1, 7)),
        EvalDone(step=4), CheckpointSaved(step=4), EvalDone(step=6), CheckpointSaved(step=6),
        RunFinished(outcome="failed"),
        RunStarted(pid=8, resumed_from_step=4),
    )  # fmt: skip
    assert state.status == "running"
    assert state.pid == 8
    assert state.step is None
    assert state.steps_done == 4
    assert state.progress == 0.4
    assert [e.step for e in state.evals] == [4]
    assert [c.step for c in state.checkpoints] == [4]
    assert not state.finished
    assert state.error is None


def test_a_lasting_alarm_is_active_until_it_is_cleared() -> None:
    raised = (RunStarted(), AlarmRaised(alarm="stall"), AlarmRaised(alarm="loss_spike"))
    assert told(*raised).active_alarms == {"stall"}
    cleared = told(*raised, AlarmCleared(alarm="stall"))
    assert cleared.active_alarms == frozenset()
    assert [a.alarm for a in cleared.alarms] == ["stall", "loss_spike"]


def test_the_newest_alarms_are_kept() -> None:
    state = told(*(AlarmRaised(alarm="loss_spike", step=n) for n in range(MAX_ALARMS + 50)))
    assert len(state.alarms) == MAX_ALARMS
    assert state.alarms[-1].step == MAX_ALARMS + 49


def test_an_unknown_kind_is_counted_and_harms_nothing() -> None:
    state = told(RunStarted(), UnknownEvent(kind="weather.report"), TrainStep(step=1))
    assert state.unknown_events == 1
    assert state.steps_done == 1


def test_a_rollback_goes_back_to_its_step_and_stays_in_the_history() -> None:
    story = (
        RunStarted(),
        TrainPlanned(total_steps=100),
        EvalDone(step=10),
        CheckpointSaved(step=20),
        CheckpointSaved(step=40),
        TrainStep(step=50),
        AlarmRaised(alarm="diverging", step=50, action="rollback"),
        RolledBack(step=50, to_step=30, lr_scale=1 / 3),
    )
    state = told(*story)
    assert (state.steps_done, state.progress, state.lr_scale) == (30, 0.3, 1 / 3)
    assert [c.step for c in state.checkpoints] == [20]
    assert [a.alarm for a in state.alarms] == ["diverging"]
    assert not state.paused
    assert told(*story, TrainStep(step=31)).steps_done == 31


def test_an_alarm_that_pauses_holds_until_a_person_answers() -> None:
    held = (RunStarted(), AlarmRaised(alarm="diverging", action="pause"))
    assert told(*held).paused
    for answer in ("continue", "exclude", "roll_back"):
        assert not told(*held, CommandAcknowledged(command=answer)).paused
    assert told(*held, CommandAcknowledged(command="exclude", accepted=False)).paused
    assert told(*held, CommandAcknowledged(command="save")).paused


def test_a_checkpoint_said_again_stands_once_with_its_last_word() -> None:
    state = told(
        CheckpointSaved(step=8), CheckpointSaved(step=4), CheckpointSaved(step=8, best=True)
    )
    assert [(c.step, c.best) for c in state.checkpoints] == [(4, False), (8, True)]


def test_a_rollback_leaves_the_alarms_of_its_branch_behind() -> None:
    alarms = [AlarmRaised(seq=1, alarm="diverging"), AlarmRaised(seq=2, alarm="disk_full")]
    state = told(*alarms, RolledBack(seq=3, step=50, to_step=30))
    assert state.active_alarms == {"disk_full"}
    assert len(state.alarms) == 2

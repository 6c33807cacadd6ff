import math

import numpy as np

from core.metrics import RunSeries
from core.metrics.run_series import MAX_BRANCHES
from core.protocol.codec import decode_event
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    EvalDone,
    RolledBack,
    RunStarted,
    TrainStep,
)
from core.runlog.tail import LogTail
from core.runlog.writer import EventWriter


def steps(low, high, seq=0, **more):
    return [
        TrainStep(
            step=i,
            seq=seq + i if seq else 0,
            loss=1 / i,
            grad_norm=0.5,
            learning_rate=1e-5,
            epoch=i / 10,
            monotonic_s=i * 2.0,
            step_time_s=2.0,
            **more,
        )
        for i in range(low, high)
    ]


def test_every_curve_grows_with_the_steps():
    run = RunSeries()
    run.apply(steps(1, 101, memory_gib=2.0))
    assert run.loss.last == (100, 0.01)
    assert run.memory_gib.last == (100, 2.0)
    assert run.memory_gib.unit == "GiB"
    assert run.last_step == 100
    assert all(len(s) == 100 for s in run._step_series().values())


def test_the_version_rises_on_change_only():
    run = RunSeries()
    run.apply([])
    assert run.version == 0
    run.apply(steps(1, 3))
    after = run.version
    run.apply([EvalDone(step=2, split="accuracy", loss=1.0)])
    assert run.version > after > 0


def test_events_read_twice_change_nothing():
    run = RunSeries()
    events = steps(1, 11, seq=1)
    run.apply(events)
    version = run.version
    run.apply(events)
    assert (len(run.loss), run.version, run.resumes) == (10, version, [])


def test_a_resume_cuts_curves_and_marks_back_to_its_step():
    run = RunSeries()
    run.apply([*steps(1, 101), EvalDone(step=50, loss=1.0), EvalDone(step=100, loss=2.0)])
    run.apply([CheckpointSaved(step=60), AlarmRaised(alarm="loss_spike", step=90)])
    run.apply([RunStarted(resumed_from_step=60), *steps(61, 71)])
    assert run.loss.xs.tolist() == list(range(1, 71))
    assert run.eval_loss["eval"].xs.tolist() == [50]
    assert (run.checkpoints, run.alarms, run.resumes) == ([60], {"loss_spike": []}, [60])


def test_steps_resume_and_more_steps_in_one_bite_keep_their_order():
    run = RunSeries()
    run.apply([*steps(1, 51), RunStarted(resumed_from_step=20), *steps(21, 31)])
    assert run.last_step == 30
    assert run.resumes == [20]


def test_a_worker_that_counts_steps_again_rolled_back():
    run = RunSeries()
    run.apply([*steps(1, 51), *steps(31, 41)])
    assert run.loss.xs.tolist() == list(range(1, 41))
    assert run.resumes == [30]


def test_the_first_start_is_no_resume():
    run = RunSeries()
    run.apply([RunStarted(), *steps(1, 5)])
    assert run.resumes == []


def test_a_diverged_loss_is_a_mark_and_the_other_curves_go_on():
    run = RunSeries()
    run.apply([*steps(1, 5), TrainStep(step=5, loss=math.nan, grad_norm=math.inf), *steps(6, 8)])
    assert list(run.loss.non_finite_xs) == [5]
    assert list(run.grad_norm.non_finite_xs) == [5]
    assert run.loss.xs.tolist() == [1, 2, 3, 4, 6, 7]
    assert run.last_step == 7


def test_training_time_leaves_the_night_between_stop_and_resume_out():
    run = RunSeries()
    run.apply(steps(1, 11))
    assert run.elapsed_s.last == (10, 20.0)
    night = [e.model_copy(update={"monotonic_s": 500.0 + 2 * e.step}) for e in steps(11, 13)]
    run.apply([RunStarted(resumed_from_step=10), *night])
    assert run.elapsed_s.ys[-2:].tolist() == [22.0, 24.0]


def test_an_evaluation_repeated_at_its_step_replaces_the_first():
    run = RunSeries()
    run.apply([EvalDone(step=5, split="a", loss=1.0), EvalDone(step=5, split="a", loss=2.0)])
    assert run.eval_loss["a"].ys.tolist() == [2.0]


def test_curves_are_the_same_whether_read_in_one_bite_or_line_by_line(tmp_path):
    with EventWriter(tmp_path / "events.jsonl", "r") as writer:
        for event in [RunStarted(), *steps(1, 400), EvalDone(step=399, loss=math.nan)]:
            writer.write(event)
    whole, single = RunSeries(), RunSeries()
    whole.apply(LogTail(tmp_path / "events.jsonl").read(10**9).events)
    for line in (tmp_path / "events.jsonl").read_bytes().splitlines():
        single.apply([decode_event(line)])
    assert np.array_equal(whole.loss.ys, single.loss.ys)
    assert np.allclose(whole.elapsed_s.ys, single.elapsed_s.ys)
    assert list(whole.eval_loss["eval"].non_finite_xs) == [399]


def test_a_rollback_cuts_the_curves_and_keeps_what_was_left_beside_them():
    run = RunSeries()
    run.apply([*steps(1, 51), EvalDone(step=40, loss=1.0), CheckpointSaved(step=45)])
    run.apply([RolledBack(step=50, to_step=30), *steps(31, 36)])
    assert run.loss.xs.tolist() == list(range(1, 36))
    assert (run.rollbacks, run.resumes, run.checkpoints) == ([(50, 30)], [], [])
    (branch,) = run.abandoned
    assert branch.loss.xs.tolist() == list(range(30, 51))
    assert branch.mean_eval_loss.xs.tolist() == [40]
    assert run.mean_eval_loss.last is None


def test_of_many_rollbacks_the_last_branches_are_kept_and_all_marks():
    run = RunSeries()
    run.apply(steps(1, 11))
    for _ in range(MAX_BRANCHES + 2):
        run.apply([RolledBack(step=10, to_step=5), *steps(6, 11)])
    assert len(run.abandoned) == MAX_BRANCHES
    assert len(run.rollbacks) == MAX_BRANCHES + 2


def test_a_resume_behind_a_rollback_keeps_its_branch_and_one_before_it_does_not():
    for resumed, kept in ((33, 1), (20, 0)):
        run = RunSeries()
        run.apply([*steps(1, 51), RolledBack(step=50, to_step=30), *steps(31, 41)])
        run.apply([RunStarted(resumed_from_step=resumed), *steps(resumed + 1, 45)])
        assert (len(run.abandoned), len(run.rollbacks)) == (kept, kept)
        assert run.loss.xs.tolist() == list(range(1, 45))


def test_a_rollback_folds_the_same_in_one_bite_and_step_by_step():
    events = [*steps(1, 21), RolledBack(step=20, to_step=10), *steps(11, 16)]
    whole, single = RunSeries(), RunSeries()
    whole.apply(events)
    for event in events:
        single.apply([event])
    assert whole.loss.xs.tolist() == single.loss.xs.tolist() == list(range(1, 16))
    assert whole.abandoned[0].loss.ys.tolist() == single.abandoned[0].loss.ys.tolist()


def test_a_checkpoint_said_again_is_one_mark():
    run = RunSeries()
    run.apply([CheckpointSaved(step=9), CheckpointSaved(step=4), CheckpointSaved(step=9)])
    assert run.checkpoints == [4, 9]


def test_what_the_allocator_reserved_is_a_curve_only_where_there_is_a_card():
    run = RunSeries()
    on_card = [TrainStep(seq=i, step=i, reserved_memory_gib=8.0 + i) for i in (1, 2, 3)]
    run.apply([TrainStep(step=0), *on_card, RolledBack(seq=4, step=3, to_step=1)])
    assert run.reserved_gib.xs.tolist() == [1]
    assert run.reserved_gib.last == (1, 9.0)
    assert not run.reserved_gib.non_finite_xs

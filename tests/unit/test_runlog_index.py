"""The list of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.metrics import RunSeries
from core.paths import Home
from core.protocol.events import (
    AlarmRaised,
    EvalDone,
    Event,
    RunFinished,
    RunStarted,
    SampleGenerated,
    TrainPlanned,
    TrainStep,
)
from core.runlog.index import RunIndex, RunSummary
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter


def make(home: Home, run_id: str, *events: Event, **document: Any) -> RunDir:
    run = RunDir.create(home.runs, run_id, {"v": 1, "job": "train", "spec": {}, **document})
    tell(run, *events)
    return run


def tell(run: RunDir, *events: Event) -> None:
    with EventWriter(run.events, run.run_id) as writer:
        for event in events:
            writer.write(event)


def only(home: Home) -> RunSummary:
    (summary,) = RunIndex(home).list()
    return summary


def test_no_home_has_no_runs(tmp_path: Path) -> None:
    assert RunIndex(Home(tmp_path / "nowhere")).list() == []


def test_runs_come_newest_first(home: Home) -> None:
    for n, run_id in enumerate(("b", "a", "c")):
        make(home, run_id, created_utc=float(n))
    assert [s.run_id for s in RunIndex(home).list()] == ["c", "a", "b"]


def test_a_summary_tells_what_a_list_shows(home: Home) -> None:
    run = make(
        home, "r",
        RunStarted(job="train", pid=2**22 + 5), TrainPlanned(total_steps=9),
        TrainStep(step=1, loss=3.0), AlarmRaised(alarm="stall"), TrainStep(step=2, loss=2.5),
        EvalDone(step=2, split="accuracy", loss=2.75), AlarmRaised(alarm="stall"),
        RunFinished(outcome="stopped"),
        name="law", spec={"model": "/m", "data": "/d"}, created_utc=5.0,
    )  # fmt: skip
    (run.checkpoints / "step-000002").mkdir(parents=True)
    run.adapter.mkdir()
    found = only(home)
    assert (found.job, found.name, found.model, found.data) == ("train", "law", "/m", "/d")
    assert (found.status, found.alive, found.resumable) == ("stopped", False, True)
    assert (found.step, found.total_steps, found.last_loss) == (2, 9, 2.5)
    assert (found.last_eval_loss, found.alarms, found.adapter) == (2.75, 2, run.adapter)


def test_list_and_curves_agree_on_the_evaluation_loss(home: Home) -> None:
    events = (
        RunStarted(pid=2**22 + 5),
        EvalDone(step=0, split="accuracy", loss=8.0, target_tokens=300),
        EvalDone(step=0, split="robustness", loss=6.0, target_tokens=100),
        EvalDone(step=9, split="accuracy", loss=3.0, target_tokens=300),
        EvalDone(step=9, split="robustness", loss=5.0, target_tokens=100),
    )
    make(home, "r", *events)
    curve = RunSeries()
    curve.apply(events)
    assert curve.mean_eval_loss.ys.tolist() == [7.5, 3.5]
    assert only(home).last_eval_loss == 3.5


def test_an_evaluation_that_comes_in_two_reads_is_one(home: Home) -> None:
    run = make(home, "r", RunStarted(), EvalDone(step=9, split="a", loss=2.0, samples=1))
    index = RunIndex(home)
    assert index.list()[0].last_eval_loss == 2.0
    tell(run, EvalDone(step=9, split="b", loss=4.0, samples=3))
    assert index.list()[0].last_eval_loss == 3.5


def test_words_of_a_model_cannot_fake_an_event(home: Home) -> None:
    fake = '{"kind":"alarm.raised"} "kind":"run.finished"'
    make(home, "r", RunStarted(pid=2**22 + 5), SampleGenerated(answer=fake), TrainStep(step=1))
    found = only(home)
    assert found.alarms == 0
    assert found.status == "lost"


def test_a_completed_run_is_not_resumable(home: Home) -> None:
    run = make(home, "r", RunStarted(), RunFinished(outcome="completed"))
    (run.checkpoints / "step-000002").mkdir(parents=True)
    assert not only(home).resumable


def test_a_checkpoint_that_is_being_staged_does_not_count(home: Home) -> None:
    run = make(home, "r", RunStarted(), RunFinished(outcome="failed"))
    (run.checkpoints / ".step-000002.77.staging").mkdir(parents=True)
    assert run.newest_checkpoint() is None
    assert not only(home).resumable


def test_checkpoints_are_ordered_by_number(home: Home) -> None:
    run = make(home, "r")
    for name in ("step-999999", "step-1000000", "step-000009"):
        (run.checkpoints / name).mkdir(parents=True)
    newest = run.newest_checkpoint()
    assert newest is not None
    assert newest.name == "step-1000000"


def test_a_later_life_overrules_the_last_word_before_it(home: Home) -> None:
    run = make(home, "r", RunStarted(pid=2**22 + 5), RunFinished(outcome="failed"))
    tell(run, RunStarted(pid=2**22 + 6, resumed_from_step=0), TrainStep(step=1))
    assert only(home).status == "lost"


def test_only_what_was_added_is_read_again(home: Home) -> None:
    run = make(home, "r", RunStarted(), TrainStep(step=1))
    index = RunIndex(home)
    index.list()
    digest = index._digests["r"]
    size = run.events.stat().st_size
    assert digest.offset == size
    tell(run, TrainStep(step=2), AlarmRaised(alarm="stall"))
    (found,) = index.list()
    assert (found.step, found.alarms) == (2, 1)
    assert digest.offset == run.events.stat().st_size


def test_a_torn_line_is_not_taken_for_an_event(home: Home) -> None:
    run = make(home, "r", RunStarted(), TrainStep(step=1))
    with run.events.open("ab") as f:
        f.write(b'{"v":1,"run_id":"r","seq":3,"kind":"alarm.raised"')
    index = RunIndex(home)
    assert index.list()[0].alarms == 0
    with run.events.open("ab") as f:
        f.write(b"}\n")
    assert index.list()[0].alarms == 1


def test_folders_that_are_no_runs_are_passed_over(home: Home) -> None:
    make(home, "r")
    (home.runs / "not-a-run").mkdir()
    (home.runs / ".deleted-x").mkdir()
    (home.runs / "file").write_text("")
    assert [s.run_id for s in RunIndex(home).list()] == ["r"]

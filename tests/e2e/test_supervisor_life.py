"""The life of a run with real worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.errors import AppError
from core.paths import PROJECT_ROOT, Home
from core.protocol.commands import PauseCommand
from core.protocol.events import ResourceSampled, RunFinished, RunStarted, TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold, reduce
from core.runlog.writer import EventWriter
from core.supervisor import Supervisor
from tests.fakes.runs import FAKE, Runs, events_of


def test_a_run_goes_from_start_to_its_last_word(runs: Runs) -> None:
    run = runs.start(steps=5)
    view = runs.until_finished(run)
    assert view.status == "completed"
    assert view.state.steps_done == 5
    assert view.state.result["last_step"] == 5
    assert list(view.series.loss.xs) == [1, 2, 3, 4, 5]
    assert view.verdict is None
    assert not run.verdict_json.exists()


def test_events_count_up_and_the_last_one_knows_how_many_there_are(runs: Runs) -> None:
    run = runs.start(steps=20)
    runs.until_finished(run)
    events = events_of(run)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].num_events == len(events)


def test_the_worker_says_what_it_uses(runs: Runs) -> None:
    run = runs.start(steps=1)
    runs.until_finished(run)
    samples = [e for e in events_of(run) if isinstance(e, ResourceSampled)]
    assert samples
    assert samples[0].rss_gib > 0.005
    assert samples[0].gpu_allocated_gib is None


def test_the_output_goes_to_a_file_and_the_worker_holds_no_pipe(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, log="for people")
    view = runs.until_step(run, 1)
    assert "for people" in run.output_log.read_text()
    assert view.pid is not None
    fds = {n: str(Path(f"/proc/{view.pid}/fd/{n}").readlink()) for n in ("0", "1", "2")}
    assert fds == {"0": "/dev/null", "1": str(run.output_log), "2": str(run.output_log)}
    assert os.getsid(view.pid) == view.pid
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)


def test_a_stop_command_is_obeyed_and_answered(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    runs.until_step(run, 1)
    runs.supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "stopped"
    assert view.state.reason == "stop_requested"
    assert len(view.state.acknowledged) == 1
    assert view.verdict is None


def test_a_stop_is_heard_while_the_recipe_is_busy(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, deaf=True)
    runs.until_step(run, 1)
    runs.supervisor.stop(run.run_id)
    view = runs.until(run, lambda v: v.state.acknowledged)
    assert view.alive
    assert view.stopping == "command"
    runs.supervisor.kill(run.run_id)
    runs.until_finished(run)


def test_an_unknown_command_is_refused_by_name(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    runs.until_step(run, 1)
    with run.control.open("ab") as f:
        f.write(b'{"v":7,"command_id":"abc","kind":"levitate"}\nnot json\n')
    view = runs.until(run, lambda v: "abc" in v.state.acknowledged)
    answer = next(e for e in events_of(run) if e.in_reply_to == "abc")
    assert answer.model_dump()["accepted"] is False
    assert view.alive
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)


def test_a_worker_that_ignores_everything_climbs_the_ladder_to_its_end(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, deaf=True, ignore_terminate=True, child=True)
    view = runs.until_step(run, 1)
    child = psutil.Process(int((run.path / "child.pid").read_text()))
    runs.supervisor.stop(run.run_id)
    assert runs.supervisor.view(run.run_id).stopping == "command"
    runs.supervisor.stop(run.run_id)  # the user presses again instead of waiting a minute
    assert runs.supervisor.view(run.run_id).stopping == "terminate"
    assert view.alive
    runs.supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "lost"
    assert view.verdict is not None
    assert view.verdict.reason == "stopped_by_force"
    assert view.verdict.signal == "SIGKILL"
    assert [s["rung"] for s in view.verdict.stop_steps] == ["command", "terminate", "kill"]
    assert all(s["reason"] for s in view.verdict.stop_steps)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_signal_asks_to_stop_too(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    view = runs.until_step(run, 1)
    assert view.pid is not None
    os.kill(view.pid, signal.SIGTERM)
    view = runs.until_finished(run)
    assert (view.status, view.state.reason) == ("stopped", "signal")


@pytest.mark.parametrize(
    ("kind", "code"),
    [("app", "data.empty"), ("os", "disk.full"), ("memory", "train.out_of_memory"),
     ("bug", "internal")],
)  # fmt: skip
def test_every_failure_has_a_code(runs: Runs, kind: str, code: str) -> None:
    run = runs.start(steps=1, fail=kind)
    view = runs.until_finished(run)
    assert view.status == "failed"
    assert view.error is not None
    assert view.error.code == code
    assert view.verdict is None


def test_resume_goes_on_in_the_same_folder(runs: Runs) -> None:
    run = runs.start(steps=30, checkpoint_every=10, exit_code=3, rate=400)
    assert runs.until_finished(run).status == "lost"
    document = run.document()
    document["spec"] |= {"steps": 45, "exit_code": None}
    run.run_json.write_text(json.dumps(document))

    view = runs.supervisor.start(run, FAKE)
    assert view.status == "starting"
    view = runs.until_finished(run)
    assert view.status == "completed"
    assert view.state.resumed_from_step == 30
    assert list(view.series.loss.xs) == list(range(1, 46))
    assert (run.path / "verdict-1.json").exists()
    assert [e.seq for e in events_of(run)] == list(range(1, len(events_of(run)) + 1))


def test_commands_of_an_earlier_life_are_not_obeyed_again(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, checkpoint_every=1)
    runs.until_step(run, 1)
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)
    runs.supervisor.start(run, FAKE)
    view = runs.until(run, lambda v: v.status == "running" and v.state.phase == "starting")
    time.sleep(0.6)  # two rounds of the worker's ear
    runs.supervisor.tick()
    assert runs.supervisor.view(run.run_id).alive
    runs.supervisor.stop(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "stopped"


def test_another_window_adopts_commands_and_sees_the_same(runs: Runs) -> None:
    run = runs.start(steps=200, rate=200)
    other = Supervisor(runs.home)
    other.attach(run.run_id)
    runs.until_step(run, 10, other)
    other.send(run.run_id, PauseCommand())
    other.stop(run.run_id)
    theirs = runs.until_finished(run, other)
    ours = runs.until_finished(run)
    assert theirs.status == ours.status == "stopped"
    assert theirs.state == ours.state
    assert list(theirs.series.loss.xs) == list(ours.series.loss.xs)


def test_a_run_is_not_started_twice(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    with pytest.raises(AppError, match=r"run\.still_alive"):
        runs.supervisor.start(run, FAKE)
    with pytest.raises(AppError, match=r"run\.still_alive"):
        Supervisor(runs.home).start(run, FAKE)
    runs.until_step(run, 1)
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)


def test_a_second_worker_on_the_same_events_is_refused(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    runs.until_step(run, 1)
    before = run.events.read_bytes()
    second = subprocess.run(
        [sys.executable, "-m", FAKE, str(run.path)],
        cwd=PROJECT_ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert second.returncode == 73
    assert run.events.read_bytes().startswith(before)
    assert sum(isinstance(e, RunStarted) for e in events_of(run)) == 1
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)


def test_each_change_is_announced_once(runs: Runs) -> None:
    run = runs.start(steps=50)
    news = []
    while not runs.supervisor.view(run.run_id).finished:
        for view in runs.supervisor.tick():
            news.extend(view.new_events)
        time.sleep(0.01)
    runs.until_finished(run)
    seen = [e.seq for e in news]
    assert seen == sorted(set(seen))
    assert sum(isinstance(e, TrainStep) for e in news) == 50
    assert fold(RunState(), news) == runs.supervisor.view(run.run_id).state
    state = RunState()
    for event in events_of(run):
        state = reduce(state, event)
    assert state == runs.supervisor.view(run.run_id).state


def test_a_worker_that_lingers_after_its_last_word_is_ended(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.supervisor.followed._LINGER_S", 0.2)
    run = runs.start(steps=1, linger=True)
    view = runs.until(run, lambda v: v.finished)
    runs.supervisor._followed[run.run_id].ladder = None
    view = runs.until(run, lambda v: v.stopping == "terminate" or not v.alive)
    if view.alive:  # the thread keeps it: SIGTERM sets a flag that nobody reads any more
        runs.supervisor.kill(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "completed"


def test_detached_children_leave_no_zombie(runs: Runs) -> None:
    run = runs.start(steps=1)
    pid = runs.supervisor.view(run.run_id).pid
    assert pid is not None
    runs.supervisor.detach(run.run_id)
    while psutil.pid_exists(pid):
        runs.supervisor.tick()
        time.sleep(0.01)


def test_send_and_stop_of_a_dead_run_say_so(runs: Runs) -> None:
    run = runs.start(steps=1)
    runs.until_finished(run)
    with pytest.raises(AppError, match=r"run\.not_alive"):
        runs.supervisor.stop(run.run_id)
    with pytest.raises(AppError, match=r"run\.not_found"):
        runs.supervisor.attach("../" + run.run_id)
    assert isinstance(run, RunDir)


def test_no_run_starves_and_none_is_judged_unread_while_a_long_one_is_read(
    runs: Runs, home: Home
) -> None:
    long = runs.make()
    with EventWriter(long.events, long.run_id) as writer:
        writer.write(RunStarted(pid=2**22 + 9))
        for step in range(1, 6001):
            writer.write(TrainStep(step=step))
        writer.write(RunFinished())
    short = runs.start(steps=3)
    runs.until_finished(short)
    fresh = Supervisor(home)
    for run in (long, short):
        fresh.attach(run.run_id)
    ticks = 0
    while fresh.catching_up:
        fresh.tick(budget_s=0.0)  # one bite a tick
        ticks += 1
        assert fresh.view(short.run_id).verdict is None
    assert ticks > 5
    assert fresh.view(short.run_id).status == "completed"
    view = fresh.view(long.run_id)
    assert (view.status, view.state.steps_done) == ("completed", 6000)


def test_a_last_word_of_an_earlier_life_is_not_taken_for_the_end(runs: Runs, home: Home) -> None:
    run = runs.start(steps=900, checkpoint_every=900, flood_bytes=400, fail="app")
    runs.until_finished(run)
    document = run.document()
    document["spec"] |= {"steps": 901, "fail": None, "hang": True}
    run.run_json.write_text(json.dumps(document))
    runs.supervisor.start(run, FAKE)
    runs.until_step(run, 901)
    fresh = Supervisor(home)
    fresh.attach(run.run_id)
    while fresh.catching_up:
        fresh.tick(budget_s=0.0)
        assert not fresh.view(run.run_id).finished
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)

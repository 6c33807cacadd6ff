"""kill -9 of the face or of the worker, at any moment, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from core.paths import PROJECT_ROOT, Home
from core.runlog.index import RunIndex
from core.runlog.run_dir import RunDir
from core.supervisor import ProcessIdentity, Supervisor
from core.supervisor.identity import find_worker
from tests.fakes.runs import FAKE, Runs

FACE = """
import sys, time
from core.paths import Home
from core.runlog.run_dir import RunDir
from core.supervisor import Supervisor
home = Home.default()
supervisor = Supervisor(home)
supervisor.start(RunDir.open(home.runs, sys.argv[1]), sys.argv[2])
print("started", flush=True)
while True:
    supervisor.tick()
    time.sleep(0.01)
"""


def start_in_another_face(run: RunDir) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FACE, run.run_id, FAKE],
        cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize("after_events", [0, 1, 60])
def test_a_worker_outlives_a_killed_face_and_is_adopted(runs: Runs, after_events: int) -> None:
    run = runs.make(steps=120, rate=300, checkpoint_every=40)
    face = start_in_another_face(run)
    assert face.stdout is not None
    if after_events:
        wait_for(
            lambda: run.events.exists() and run.events.read_bytes().count(b"\n") >= after_events,
            "the worker speaks",
        )
    else:
        assert face.stdout.readline() == "started\n"
    face.send_signal(signal.SIGKILL)
    face.wait()
    face.stdout.close()

    view = runs.supervisor.attach(run.run_id)
    assert view.verdict is None
    view = runs.until_finished(run)
    assert view.status == "completed"
    assert list(view.series.loss.xs) == list(range(1, 121))
    assert [c.step for c in view.state.checkpoints] == [40, 80, 120]


def test_a_face_killed_before_it_wrote_down_its_worker_loses_nothing(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    view = runs.until_step(run, 1)
    run.process_json.unlink()
    found = find_worker(run.path)
    assert found is not None
    assert found.pid == view.pid
    other = Supervisor(runs.home)
    assert other.attach(run.run_id).alive
    other.stop(run.run_id)
    assert runs.until_finished(run, other).status == "stopped"
    runs.until_finished(run)


def test_a_killed_worker_is_judged_with_its_signal(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, checkpoint_every=1)
    view = runs.until_step(run, 1)
    assert view.pid is not None
    os.kill(view.pid, signal.SIGKILL)
    view = runs.until_finished(run)
    assert view.status == "lost"
    assert view.verdict is not None
    assert (view.verdict.reason, view.verdict.signal) == ("killed", "SIGKILL")
    assert view.error is not None
    assert view.error.code == "worker.lost"
    assert json.loads(run.verdict_json.read_text())["outcome"] == "lost"
    summary = RunIndex(runs.home).list()[0]
    assert summary.status == "lost"
    assert summary.resumable


def test_the_verdict_comes_with_the_first_tick_after_the_death(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True)
    view = runs.until_step(run, 1)
    assert view.pid is not None
    os.kill(view.pid, signal.SIGKILL)
    pid, dead = view.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
    wait_for(lambda: os.waitid(os.P_PID, pid, dead), "the worker is dead")
    changed = runs.supervisor.tick()
    assert [v.status for v in changed] == ["lost"]


def test_a_worker_killed_while_no_face_watches_is_judged_at_the_next_look(runs: Runs) -> None:
    run = runs.make(steps=1, hang=True)
    face = start_in_another_face(run)
    runs.supervisor.attach(run.run_id)
    view = runs.until_step(run, 1)
    face.kill()
    face.wait()
    face.stdout.close()
    assert view.pid is not None
    os.kill(view.pid, signal.SIGKILL)
    view = runs.until_finished(run)
    assert view.verdict is not None
    assert view.verdict.reason == "gone"
    assert view.verdict.exit_code is None


def test_a_worker_that_never_began_is_named_with_its_last_words(runs: Runs) -> None:
    run = runs.start(fail_on_import=True)
    view = runs.until_finished(run)
    assert view.verdict is not None
    assert view.verdict.reason == "never_started"
    assert "libfake.so.1" in view.verdict.detail
    assert view.error is not None
    assert view.error.code == "worker.start_failed"
    assert "Traceback" in view.verdict.log_tail


def test_a_worker_that_ends_without_a_last_word_is_lost(runs: Runs) -> None:
    run = runs.start(steps=2, exit_code=0)
    view = runs.until_finished(run)
    assert view.verdict is not None
    assert (view.verdict.reason, view.verdict.exit_code) == ("exited", 0)


def test_a_run_that_is_just_being_made_is_not_judged(runs: Runs) -> None:
    run = runs.make(steps=1)
    assert runs.supervisor.attach(run.run_id).status == "starting"
    runs.supervisor.tick()
    assert runs.supervisor.view(run.run_id).verdict is None
    assert RunIndex(runs.home).list()[0].status == "starting"
    os.utime(run.run_json, (1.0, 1.0))  # nobody ever started it
    runs.supervisor.tick()
    assert runs.supervisor.view(run.run_id).status == "lost"
    assert RunIndex(runs.home).list()[0].status == "lost"


def test_a_worker_that_another_face_starts_later_is_noticed(runs: Runs) -> None:
    run = runs.start(steps=2, exit_code=5, checkpoint_every=1)
    assert runs.until_finished(run).status == "lost"
    document = run.document()
    document["spec"] |= {"steps": 4, "exit_code": None}
    run.run_json.write_text(json.dumps(document))
    other = Supervisor(runs.home)
    other.start(run, FAKE)
    view = runs.until(run, lambda v: v.status == "completed" and not v.alive)
    assert view.verdict is None
    assert list(view.series.loss.xs) == [1, 2, 3, 4]
    runs.until_finished(run, other)


def test_a_stop_of_one_life_is_not_meant_for_the_next(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, checkpoint_every=1)
    runs.until_step(run, 1)
    runs.supervisor.stop(run.run_id)
    runs.until_finished(run)
    other = Supervisor(runs.home)
    other.start(run, FAKE)  # another window goes on with it
    view = runs.until(run, lambda v: v.alive and v.status == "running")
    ladder = runs.supervisor._followed[run.run_id].ladder
    assert ladder is None
    assert view.stopping is None
    other.stop(run.run_id)
    runs.until_finished(run, other)


def test_a_run_whose_environment_was_moved_away_is_resumed_with_ours(runs: Runs) -> None:
    run = runs.make(steps=1)
    document = run.document()
    run.run_json.write_text(json.dumps({**document, "interpreter": "/gone/bin/python"}))
    runs.supervisor.start(run, FAKE)
    assert runs.until_finished(run).status == "completed"


def test_a_crash_is_told_from_a_kill(runs: Runs) -> None:
    run = runs.start(steps=1, kill_self=int(signal.SIGSEGV))
    view = runs.until_finished(run)
    assert view.verdict is not None
    assert (view.verdict.reason, view.verdict.signal) == ("crashed", "SIGSEGV")


def test_children_of_a_killed_worker_are_not_left_behind(runs: Runs) -> None:
    run = runs.start(steps=1, hang=True, child=True)
    view = runs.until_step(run, 1)
    child = psutil.Process(int((run.path / "child.pid").read_text()))
    assert child.is_running()
    assert view.pid is not None
    os.kill(view.pid, signal.SIGKILL)
    runs.until_finished(run)
    wait_for(
        lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
        "the child is gone",
    )


def test_a_foreign_process_with_the_old_pid_is_never_signaled(runs: Runs, home: Home) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        run = runs.make(steps=1)
        run.process_json.write_text(
            json.dumps({"pid": stranger.pid, "create_time": time.time() - 90_000})
        )
        run.events.write_bytes(
            b'{"seq":1,"kind":"run.started","job":"train","pid":%d}\n' % stranger.pid
        )
        view = runs.supervisor.attach(run.run_id)
        assert not view.alive
        view = runs.until_finished(run)
        assert view.status == "lost"
        identity = ProcessIdentity(stranger.pid, time.time() - 90_000)
        assert not identity.terminate()
        assert not identity.kill_group()
        assert identity.kill_orphans() == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("named", ["1", "0", "-1", "ourselves"])
def test_no_process_file_can_make_us_signal_ourselves_or_everybody(runs: Runs, named: str) -> None:
    pid = os.getpid() if named == "ourselves" else int(named)
    run = runs.make()
    run.process_json.write_text(json.dumps({"pid": pid, "create_time": 1.0}))
    os.utime(run.run_json, (1.0, 1.0))
    runs.supervisor.attach(run.run_id)
    view = runs.until_finished(run)
    assert not view.alive
    identity = ProcessIdentity(pid, 1.0)
    assert not identity.is_alive()
    assert not identity.terminate()
    assert not identity.kill_group()
    assert identity.kill_orphans() == 0


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = ProcessIdentity.of(child.pid)
    wait_for(
        lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "the child has ended"
    )
    assert identity is None or not identity.is_alive()
    child.wait()


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"pid": "x"}', b"\xff\xfe"])
def test_a_damaged_process_file_hides_no_run(runs: Runs, damage: bytes) -> None:
    run = runs.start(steps=1, hang=True)
    runs.until_step(run, 1)
    run.process_json.write_bytes(damage)
    other = Supervisor(runs.home)
    view = other.attach(run.run_id)
    assert view.alive  # found by its command line
    other.stop(run.run_id)
    runs.until_finished(run, other)
    runs.until_finished(run)

"""Stop ladder, verdict and identity on their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from core.runlog.run_dir import RunDir
from core.supervisor import ProcessIdentity, StopLadder, Verdict, WorkerSpec
from core.supervisor.stop_ladder import StopTimes
from core.supervisor.verdict import judge
from core.supervisor.worker_spec import current_python, worker_environment


def test_the_ladder_climbs_by_the_clock_and_says_why() -> None:
    ladder = StopLadder(StopTimes(command_s=10, terminate_s=5, kill_s=1))
    assert ladder.next(100.0) == "command"
    assert ladder.next(109.9) is None
    assert ladder.next(110.0) == "terminate"
    assert ladder.next(114.0) is None
    assert ladder.next(115.0) == "kill"
    assert ladder.killed
    assert ladder.next(115.5) is None
    assert ladder.next(116.0) == "kill"  # tried again while it lives
    assert [s.reason for s in ladder.steps] == [
        "asked to stop",
        "still alive 10 s after command",
        "still alive 5 s after terminate",
        "still alive 1 s after kill",
    ]


def test_hurry_takes_the_next_rung_at_once() -> None:
    ladder = StopLadder()
    ladder.next(0.0)
    ladder.hurry("pressed again")
    assert ladder.next(0.0) == "terminate"
    assert ladder.steps[-1].reason == "pressed again"


def test_hurry_can_skip_to_the_end() -> None:
    ladder = StopLadder()
    ladder.hurry("kill", to="kill")
    assert ladder.next(0.0) == "kill"


def test_hurry_never_climbs_down() -> None:
    ladder = StopLadder()
    ladder.hurry("kill", to="kill")
    ladder.next(0.0)
    ladder.hurry("again")
    assert ladder.next(0.0) == "kill"


@pytest.mark.parametrize(
    ("exit_code", "oom", "started", "reason"),
    [
        (-9, False, True, "killed"),
        (-9, True, True, "out_of_memory"),
        (-11, True, True, "crashed"),
        (-6, False, True, "crashed"),
        (-15, False, True, "killed"),
        (0, False, True, "exited"),
        (1, False, False, "never_started"),
        (None, False, True, "gone"),
        (None, True, True, "out_of_memory"),
        (None, False, False, "never_started"),
        (74, False, True, "disk_full"),
        (73, False, False, "events_unwritable"),
    ],
)
def test_every_end_has_its_reason(
    tmp_path: Path, exit_code: int | None, oom: bool, started: bool, reason: str
) -> None:
    verdict = judge(RunDir(tmp_path), exit_code=exit_code, started=started, oom_struck=oom)
    assert verdict.reason == reason
    assert verdict.outcome == "lost"


def test_a_kill_of_ours_is_not_called_foreign(tmp_path: Path) -> None:
    ladder = StopLadder()
    ladder.hurry("asked to kill", to="kill")
    ladder.next()
    assert judge(RunDir(tmp_path), exit_code=-9, ladder=ladder).reason == "stopped_by_force"


def test_a_verdict_survives_the_disk(tmp_path: Path) -> None:
    (tmp_path / "output.log").write_text("first\n" * 100 + "the last line\n")
    run = RunDir(tmp_path)
    verdict = judge(run, exit_code=-signal.SIGSEGV)
    verdict.write(run)
    assert Verdict.read(run) == verdict
    assert verdict.log_tail.endswith("the last line")
    assert len(verdict.log_tail.splitlines()) == 40


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"reason": 5, "new_field": 1}', "\x00"])
def test_a_damaged_verdict_is_no_verdict(tmp_path: Path, damage: str) -> None:
    (tmp_path / "verdict.json").write_text(damage)
    found = Verdict.read(RunDir(tmp_path))
    assert found is None or found.outcome == "lost"


def test_a_verdict_of_a_newer_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text('{"v": 9, "reason": "eaten", "by": "a bear"}')
    found = Verdict.read(RunDir(tmp_path))
    assert found is not None
    assert found.reason == "eaten"


def test_we_know_ourselves_but_not_our_pid_at_another_time() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert me.is_alive()
    assert ProcessIdentity.from_document(me.as_document()) == me
    assert not ProcessIdentity(me.pid, me.create_time - 60).is_alive()


def test_no_secret_and_no_shell_is_in_the_command(home) -> None:
    run = RunDir(home.runs / "r; rm -rf x")
    spec = WorkerSpec("workers.train", current_python(), run, worker_environment(home))
    assert spec.command == [str(current_python()), "-m", "workers.train", str(run.path)]
    assert spec.env["DEEPDECK_HOME"] == str(home.root)
    assert spec.env["HF_HUB_OFFLINE"] == "1"


def test_a_clock_that_was_set_does_not_make_the_living_dead() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    if not me.start_mark:
        pytest.skip("this system has no start marks")
    as_stored_before = ProcessIdentity(me.pid, me.create_time - 3600, "", me.start_mark)
    assert as_stored_before.is_alive()
    after_a_reboot = ProcessIdentity(me.pid, me.create_time, "", "another-boot:" + me.start_mark)
    assert not after_a_reboot.is_alive()


def test_the_parent_s_verdict_is_kept_by_other_faces(home) -> None:
    from core.supervisor import Supervisor

    run = RunDir.create(home.runs, "r", {"v": 1, "job": "train", "spec": {}})
    run.process_json.write_text('{"pid": 4194399, "create_time": 1.0}')
    run.events.write_bytes(b'{"seq":1,"kind":"run.started","pid":4194399}\n')
    parents = judge(run, exit_code=-9)
    other = Supervisor(home)
    other.attach("r")
    parents.write(run)
    other.tick()
    assert other.view("r").verdict == parents

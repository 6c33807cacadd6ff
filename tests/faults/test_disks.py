"""Full and read-only disks, for real: small tmpfs mounts, read-only remounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import AppError
from core.paths import Home
from core.protocol.events import AlarmRaised, RunFinished, TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.tail import LogTail
from core.runlog.writer import EventWriter
from core.secrets import api_key
from core.supervisor import Supervisor
from tests.fakes.disks import make_read_only, make_writable
from tests.fakes.runs import FAKE, Runs, events_of

MountDisk = Callable[[str], Path]


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return filler


@pytest.fixture
def disk_runs(small_disk: MountDisk) -> Runs:
    disk = small_disk("2m")
    home = Home(disk)
    return Runs(home, Supervisor(home))


def test_events_wait_for_room_and_come_in_order(small_disk: MountDisk) -> None:
    disk = small_disk("64k")
    with EventWriter(disk / "events.jsonl", "r") as writer:
        writer.write(TrainStep(step=1))
        filler = fill(disk)
        for step in range(2, 400):
            writer.write(TrainStep(step=step))
        assert writer.held_lines > 0
        before = LogTail(disk / "events.jsonl").read()
        assert before.bad_lines == 0
        filler.unlink()
    # 64 KiB hold fewer than 400 steps: what fits is whole and in order, nothing is glued together
    found = LogTail(disk / "events.jsonl").read(1 << 20)
    assert found.bad_lines == 0
    assert [e.seq for e in found.events] == list(range(1, len(found.events) + 1))
    assert len(found.events) > len(before.events)


def test_a_run_lives_through_a_full_disk_and_tells_of_it(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.start(steps=400, rate=200)
    runs.until_step(run, 20)
    filler = fill(runs.home.root)
    view = runs.until(run, lambda v: v.problem is not None)
    assert view.problem is not None
    assert view.problem.code == "disk.full"
    assert view.alive
    filler.unlink()
    view = runs.until_finished(run)
    assert view.status == "completed"
    assert list(view.series.loss.xs) == list(range(1, 401))
    seqs = [e.seq for e in events_of(run)]
    assert seqs == list(range(1, len(seqs) + 1))
    if any(isinstance(e, AlarmRaised) for e in events_of(run)):
        assert {a.alarm for a in view.state.alarms} == {"disk_full"}
        assert not view.state.active_alarms


def test_a_stop_on_a_full_disk_falls_to_the_signal(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.start(steps=1, hang=True)
    runs.until_step(run, 1)
    filler = fill(runs.home.root)
    runs.supervisor.stop(run.run_id)
    runs.until(run, lambda v: v.stopping == "terminate" or not v.alive)
    filler.unlink()
    view = runs.until_finished(run)
    assert view.status == "stopped"
    assert view.state.reason in ("signal", "stop_requested")


def test_a_run_is_not_created_on_a_full_disk(disk_runs: Runs) -> None:
    runs = disk_runs
    (runs.home.runs).mkdir()
    fill(runs.home.root)
    with pytest.raises(AppError) as e:
        RunDir.create(runs.home.runs, "20260101-train", {"spec": {"text": "x" * 9000}})
    assert e.value.code == "disk.full"
    assert list(runs.home.runs.iterdir()) == []


def test_a_worker_is_not_started_on_a_full_disk(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.make(steps=1, hang=True)
    fill(runs.home.root)
    with pytest.raises(AppError) as e:
        runs.supervisor.start(run, FAKE)
    assert e.value.code == "disk.full"


def test_a_last_word_without_room_is_told_by_the_exit_code(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.start(steps=600, rate=600, last_word_wait_s=0.3)
    runs.until_step(run, 5)
    fill(runs.home.root)
    view = runs.until_finished(run)
    assert view.status == "lost"
    assert view.verdict is not None
    assert view.verdict.reason == "disk_full"
    assert view.error is not None
    assert view.error.code == "disk.full"


def test_a_read_only_home_refuses_with_a_clear_code(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.make(steps=1)
    make_read_only(runs.home.root)
    for attempt in (
        lambda: RunDir.create(runs.home.runs, "another", {}),
        lambda: runs.supervisor.start(run, FAKE),
        lambda: api_key(Home(runs.home.root)),
    ):
        with pytest.raises(AppError) as e:
            attempt()
        assert e.value.code == "folder.read_only"
    assert runs.supervisor.attach(run.run_id).status == "starting"


def test_a_finished_run_on_a_read_only_disk_is_shown_as_ever(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.start(steps=5)
    runs.until_finished(run)
    make_read_only(runs.home.root)
    try:
        other = Supervisor(runs.home)
        other.attach(run.run_id)
        assert runs.until_finished(run, other).state.steps_done == 5
    finally:
        make_writable(runs.home.root)


def test_a_lost_run_on_a_read_only_disk_still_gets_its_verdict(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.make(steps=5)
    run.process_json.write_text(json.dumps({"pid": 999_999_999, "create_time": 1.0}))
    run.events.write_bytes(b'{"seq":1,"kind":"run.started","pid":999999999}\n')
    make_read_only(runs.home.root)
    runs.supervisor.attach(run.run_id)
    view = runs.until_finished(run)
    assert view.status == "lost"
    assert not run.verdict_json.exists()


def test_a_worker_that_cannot_open_its_events_leaves_with_its_own_code(disk_runs: Runs) -> None:
    runs = disk_runs
    run = runs.make(steps=1)
    run.events.mkdir()  # opening it for appending fails as on a folder that refuses writing
    runs.supervisor.start(run, FAKE)
    view = runs.until_finished(run)
    assert view.verdict is not None
    assert view.verdict.reason == "events_unwritable"
    assert not any(isinstance(e, RunFinished) for e in view.new_events)

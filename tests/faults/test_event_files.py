"""Event files as crashes, strangers and full disks leave them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from core.protocol.codec import encode_event
from core.protocol.events import TrainStep
from core.runlog.index import RunIndex
from core.runlog.tail import HUGE_LINE_BYTES, LogTail
from core.runlog.writer import EventWriter
from tests.fakes.runs import FAKE, Runs, events_of


def lines(first: int, last: int) -> bytes:
    return b"".join(encode_event(TrainStep(kind="train.step", seq=n, step=n))
                    for n in range(first, last + 1))  # fmt: skip


def steps_of(events) -> list[int]:
    return [e.step for e in events]


def test_a_torn_last_line_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    whole = lines(1, 3)
    tail = LogTail(file)
    file.write_bytes(whole[:-10])
    assert steps_of(tail.read().events) == [1, 2]
    assert tail.read().events == ()
    file.write_bytes(whole)
    assert steps_of(tail.read().events) == [3]
    assert tail.bad_lines == 0


def test_a_resumed_worker_cuts_a_torn_tail_and_nobody_misreads_it(runs: Runs) -> None:
    run = runs.start(steps=20, torn_tail=True, checkpoint_every=10)
    assert runs.until_finished(run).status == "lost"
    torn = run.events.stat().st_size
    document = run.document()
    document["spec"] |= {"steps": 30, "torn_tail": False}
    run.run_json.write_text(json.dumps(document))
    runs.supervisor.start(run, FAKE)
    view = runs.until_finished(run)
    assert torn
    assert view.bad_lines == 0
    assert view.status == "completed"
    assert list(view.series.loss.xs) == list(range(1, 31))
    assert [e.seq for e in events_of(run)] == list(range(1, len(events_of(run)) + 1))


@pytest.mark.parametrize(
    "garbage", [b"garbage", b"{}}", b"[]", b"\xff\xfe\x00", b'{"kind":"train.step","step":"x"}']
)
def test_a_bad_line_in_the_middle_is_skipped_and_counted(tmp_path: Path, garbage: bytes) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(1, 2) + garbage + b"\n" + lines(3, 4))
    tail = LogTail(file)
    found = tail.read()
    assert steps_of(found.events) == [1, 2, 3, 4]
    assert found.bad_lines == tail.bad_lines == 1


@pytest.mark.parametrize("size", [100_000, HUGE_LINE_BYTES + 100_000, 3 * HUGE_LINE_BYTES])
def test_a_huge_line_costs_one_bad_line_and_no_more(tmp_path: Path, size: int) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(1, 2) + b"x" * size + b"\n" + lines(3, 4))
    tail = LogTail(file)
    found = []
    while True:
        bite = tail.read()
        found += bite.events
        if bite.at_end:
            break
    assert steps_of(found) == [1, 2, 3, 4]
    assert tail.bad_lines == 1


def test_a_long_sample_is_no_bad_line(runs: Runs) -> None:
    run = runs.start(steps=2, flood_bytes=300_000)
    view = runs.until_finished(run)
    assert view.bad_lines == 0
    assert [len(s.answer) for s in view.state.samples] == [300_000, 300_000]


def test_a_file_that_shrank_is_read_again_from_its_start(runs: Runs) -> None:
    run = runs.start(steps=10)
    runs.until_finished(run)
    run.events.write_bytes(lines(1, 2))
    views = runs.supervisor.tick()
    assert [v.restarted for v in views] == [True]
    assert list(views[0].series.loss.xs) == [1, 2]
    assert views[0].state.steps_done == 2
    assert not any(v.restarted for v in runs.supervisor.tick())


def test_not_a_number_survives_the_way_to_the_curve(runs: Runs) -> None:
    run = runs.start(steps=3, nan_at=2)
    view = runs.until_finished(run)
    assert b'"loss":"NaN"' in run.events.read_bytes()
    told = [e for e in events_of(run) if isinstance(e, TrainStep)]
    assert [math.isnan(e.loss) for e in told] == [False, True, False]
    assert list(view.series.loss.xs) == [1, 3]
    assert [int(x) for x in view.series.loss.non_finite_xs] == [2]


def test_a_vanished_run_folder_is_told_and_the_others_go_on(runs: Runs) -> None:
    gone = runs.start(steps=1, hang=True)
    other = runs.start(steps=1, hang=True)
    pid = runs.until_step(gone, 1).pid
    runs.until_step(other, 1)
    shutil.rmtree(gone.path)
    view = runs.until(gone, lambda v: v.problem is not None)
    assert view.problem is not None
    assert view.problem.code == "run.not_found"
    runs.supervisor.kill(gone.run_id)  # still ours to end, by identity
    view = runs.until_finished(gone)
    assert view.pid == pid
    assert view.status == "lost"
    assert not gone.path.exists()
    runs.supervisor.stop(other.run_id)
    assert runs.until_finished(other).status == "stopped"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_run_is_listed_with_its_problem_and_hides_no_other(
    runs: Runs, damage: bytes
) -> None:
    good, bad = runs.make(steps=1), runs.make(steps=1)
    bad.run_json.write_bytes(damage)
    listed = {s.run_id: s for s in RunIndex(runs.home).list()}
    assert set(listed) == {good.run_id, bad.run_id}
    assert listed[good.run_id].problem is None
    problem = listed[bad.run_id].problem
    assert problem is not None
    assert problem.code == "file.damaged"


def test_a_writer_goes_on_behind_a_bad_last_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(1, 3) + b"no event\n" + b'{"seq":9,"ki')
    with EventWriter(file, "r") as writer:
        assert writer.num_events == 3
        writer.write(TrainStep(step=4))
    found = LogTail(file).read()
    assert [e.seq for e in found.events] == [1, 2, 3, 4]
    assert found.bad_lines == 1

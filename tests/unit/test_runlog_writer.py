"""Writing events."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from core.errors import AppError
from core.protocol.events import RunFinished, TrainStep
from core.runlog.tail import LogTail
from core.runlog.writer import EventWriter


def test_lines_of_many_threads_are_whole_and_numbered(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with EventWriter(file, "r") as writer:

        def say() -> None:
            for step in range(200):
                writer.write(TrainStep(step=step))

        threads = [threading.Thread(target=say) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = LogTail(file).read(1 << 20)
    assert found.bad_lines == 0
    assert [e.seq for e in found.events] == list(range(1, 801))


def test_reopening_goes_on_counting(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    for first in (1, 3):
        with EventWriter(file, "r") as writer:
            writer.write(TrainStep(step=first))
            writer.write(TrainStep(step=first + 1))
    assert [(e.seq, e.step) for e in LogTail(file).read().events] == [
        (1, 1), (2, 2), (3, 3), (4, 4),
    ]  # fmt: skip


def test_the_last_word_counts_itself(tmp_path: Path) -> None:
    with EventWriter(tmp_path / "events.jsonl", "r") as writer:
        writer.write(TrainStep(step=1))
        last = writer.write(RunFinished())
    assert isinstance(last, RunFinished)
    assert last.num_events == 2


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with EventWriter(file, "r"), pytest.raises(AppError, match=r"run\.still_alive"):
        EventWriter(file, "r")
    with EventWriter(file, "r") as again:
        again.write(TrainStep(step=1))


def _hold(path: str, ready: object, release: object) -> None:
    with EventWriter(Path(path), "r"):
        ready.set()
        release.wait(60)


def test_the_lock_falls_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(file), ready, release))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(AppError):
        EventWriter(file, "r")
    holder.kill()
    holder.join()
    EventWriter(file, "r").close()


def test_a_huge_last_line_does_not_hide_the_number_before_it(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with EventWriter(file, "r") as writer:
        for step in range(1, 4):
            writer.write(TrainStep(step=step))
    with file.open("ab") as f:
        f.write(b"x" * 700_000 + b"\n")
    with EventWriter(file, "r") as writer:
        assert writer.num_events == 3

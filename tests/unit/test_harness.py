"""The harness in this process; with processes of their own it is tested in tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import AppError, ErrorCode
from core.protocol.codec import encode_command
from core.protocol.commands import PauseCommand, StopCommand
from core.protocol.events import CommandAcknowledged, Event, RunFinished, RunStarted, TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.tail import LogTail
from core.runlog.writer import EventWriter
from workers.harness import Control, Reporter, WorkerContext, run_worker
from workers.harness.control import StopRequest
from workers.harness.failures import error_info


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "run.json").write_text(json.dumps({"job": "train", "spec": {"steps": 3}}))
    return RunDir(tmp_path)


@pytest.fixture(autouse=True)
def signals_stay_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.harness.entry._hear_signals", lambda _stop: None)


def events(run: RunDir) -> list[Event]:
    return list(LogTail(run.events).read(1 << 20).events)


def finish(run: RunDir, recipe: Any, **options: Any) -> tuple[int, RunFinished]:
    code = run_worker("train", recipe, argv=[str(run.path)], **options)
    last = events(run)[-1]
    assert isinstance(last, RunFinished)
    return code, last


def test_a_recipe_s_facts_become_the_result(run: RunDir) -> None:
    code, last = finish(run, lambda context: {"steps": context.spec["steps"]})
    assert (code, last.outcome, last.reason) == (0, "completed", "completed")
    assert last.result == {"steps": 3}
    assert run.heartbeat.exists()


def test_an_error_with_a_code_keeps_it(run: RunDir) -> None:
    def recipe(_context: WorkerContext) -> dict[str, Any]:
        raise AppError(ErrorCode.MODEL_NOT_FOUND, model="x")

    code, last = finish(run, recipe)
    assert (code, last.outcome) == (1, "failed")
    assert last.error is not None
    assert (last.error.code, last.error.params) == ("model.not_found", {"model": "x"})


def test_sys_exit_in_a_recipe_is_a_failure_that_is_told(run: RunDir) -> None:
    def recipe(_context: WorkerContext) -> dict[str, Any]:
        raise SystemExit(3)

    code, last = finish(run, recipe)
    assert (code, last.outcome) == (1, "failed")


def test_a_stop_makes_the_outcome_stopped_unless_the_recipe_knows_better(run: RunDir) -> None:
    def recipe(context: WorkerContext) -> dict[str, Any]:
        context.stop.ask("stop_requested")
        return {}

    assert finish(run, recipe)[1].outcome == "stopped"

    def done_anyway(context: WorkerContext) -> dict[str, Any]:
        context.stop.ask("stop_requested")
        context.outcome = "completed"
        return {}

    assert finish(run, done_anyway)[1].outcome == "completed"


def test_the_first_life_resumes_from_nothing_and_the_second_from_its_checkpoint(
    run: RunDir,
) -> None:
    finish(run, lambda _context: {}, find_resume_step=lambda _run: 12)
    finish(run, lambda _context: {}, find_resume_step=lambda _run: 12)
    finish(run, lambda _context: {})
    started = [e.resumed_from_step for e in events(run) if isinstance(e, RunStarted)]
    assert started == [None, 12, 0]


def test_a_run_folder_without_run_json_gives_its_own_exit_code(tmp_path: Path) -> None:
    assert run_worker("train", lambda _context: {}, argv=[str(tmp_path)]) == 73


def test_an_event_that_cannot_be_written_never_breaks_the_recipe(run: RunDir) -> None:
    with EventWriter(run.events, "r") as writer:
        reporter = Reporter(writer)
        reporter.emit(TrainStep(step=1))
        writer._file.close()
        reporter.emit(TrainStep(step=2))
        reporter.phase("training", 0.5)
        assert reporter.flush() is False
        writer._file = run.events.open("ab", buffering=0)
        assert reporter.flush() is True
    steps = [e.step for e in events(run) if isinstance(e, TrainStep)]
    assert steps == [1, 2]


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        (OSError(28, "No space left"), "disk.full"),
        (OSError(30, "Read-only file system"), "folder.read_only"),
        (PermissionError(13, "denied"), "folder.read_only"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "runtime.incomplete"),
        (MemoryError(), "train.out_of_memory"),
        (RuntimeError("anything"), "internal"),
    ],
)
def test_every_exception_has_a_code(exception: Exception, code: str) -> None:
    assert error_info(exception).code == code


def test_torch_s_out_of_memory_is_known_by_its_name() -> None:
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried 2 GiB")
    found = error_info(error)
    assert found.code == "train.out_of_memory"
    assert "2 GiB" in str(found.params["detail"])


class TestControl:
    """Commands from a file that grows."""

    @pytest.fixture
    def control(self, run: RunDir) -> Control:
        return Control(run.control, Reporter(EventWriter(run.events, "r")), StopRequest())

    def append(self, run: RunDir, data: bytes) -> None:
        with run.control.open("ab") as f:
            f.write(data)

    def test_each_command_comes_once_and_in_order(self, run: RunDir, control: Control) -> None:
        assert control.poll() == []
        first, second = PauseCommand(), StopCommand()
        self.append(run, encode_command(first) + encode_command(second))
        assert [c.command_id for c in control.poll()] == [first.command_id, second.command_id]
        assert control.poll() == []

    def test_half_a_command_is_waited_for(self, run: RunDir, control: Control) -> None:
        line = encode_command(PauseCommand())
        self.append(run, line[:15])
        assert control.poll() == []
        self.append(run, line[15:])
        assert len(control.poll()) == 1

    def test_a_stop_is_noted_with_its_wish(self, run: RunDir, control: Control) -> None:
        self.append(run, encode_command(StopCommand(save=False)))
        control.refresh()
        assert control._stop.asked
        assert control._stop.save is False
        assert control._stop.reason == "stop_requested"

    def test_a_command_is_answered_once(self, run: RunDir, control: Control) -> None:
        command = StopCommand()
        self.append(run, encode_command(command))
        control.refresh()
        control.acknowledge(command, detail="again")
        answers = [e for e in events(run) if isinstance(e, CommandAcknowledged)]
        assert [(a.in_reply_to, a.command) for a in answers] == [(command.command_id, "stop")]


def test_the_first_reason_to_stop_stays() -> None:
    stop = StopRequest()
    stop.ask("signal")
    stop.ask("stop_requested", save=False)
    assert (stop.reason, stop.save) == ("signal", False)
    assert stop.wait(0.0)

"""The way into every worker: `python -m workers.<name> <run folder>`.

Only light imports belong above `run_worker`'s call: a recipe imports torch inside itself, so that
a run says `run.started` within a second and a missing library becomes a clear `run.finished`.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from core.errors import AppError, ErrorCode, ErrorInfo
from core.protocol.events import Outcome, RunFinished, RunStarted
from core.protocol.exit_codes import EXIT_DISK_FULL, EXIT_FAILED, EXIT_NO_EVENTS, EXIT_OK
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from workers.harness import pulse
from workers.harness.context import WorkerContext
from workers.harness.control import Control, StopRequest
from workers.harness.failures import error_info
from workers.harness.reporter import Reporter

log = logging.getLogger(__name__)

LAST_WORD_WAIT_S = 30.0
"""How long a finished run waits for room on the disk before it goes without its last word."""

_SHAPING_PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "safetensors", "bitsandbytes", "numpy",
)  # fmt: skip

Recipe = Callable[[WorkerContext], dict[str, Any]]


def run_worker(
    job: str,
    recipe: Recipe,
    *,
    find_resume_step: Callable[[RunDir], int | None] | None = None,
    argv: list[str] | None = None,
    pid: int | None = None,
) -> int:
    """Run `recipe` for the run folder named on the command line and return the exit code.

    Args:
        job: "train", "serve" or "fetch".
        recipe: does the work; its returned facts become `run.finished.result`.
        find_resume_step: the step of the newest usable checkpoint; asked only when the run was
            started before. Without one a restarted run says it resumes from step 0.
        argv: arguments after the program's name; `sys.argv` by default.
        pid: of the process that `process.json` names, when this one was started by it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    run = RunDir(Path(arguments[0]))
    try:
        document = run.document()
        writer = EventWriter(run.events, run.run_id)
    except (AppError, OSError) as e:
        log.error("the run folder cannot be used: %s", e)
        full = isinstance(e, AppError) and e.code is ErrorCode.DISK_FULL
        return EXIT_DISK_FULL if full else EXIT_NO_EVENTS
    with writer:
        return _live(job, recipe, run, document, writer, find_resume_step, pid or os.getpid())


def _live(
    job: str,
    recipe: Recipe,
    run: RunDir,
    document: dict[str, Any],
    writer: EventWriter,
    find_resume_step: Callable[[RunDir], int | None] | None,
    pid: int,
) -> int:
    reporter, stop = Reporter(writer), StopRequest()
    control = Control(run.control, reporter, stop)
    context = WorkerContext(run, document, reporter, control, stop)
    _hear_signals(stop)
    beat = pulse.Pulse(
        [
            (pulse.HEARTBEAT_S, lambda: pulse.touch(run.heartbeat)),
            (0.0, control.refresh),
            (1.0, lambda: _ignore(reporter.flush())),
            (0.5, context.beat),
        ]
    )
    if writer.num_events:
        context.resumed_from_step = (find_resume_step(run) if find_resume_step else None) or 0
    say_started(job, context, pid)
    beat.start()
    sampling = pulse.Pulse([(pulse.SAMPLE_S, pulse.ResourceSampler(reporter))])
    sampling.start()
    last_word = _run_recipe(recipe, context)
    sampling.stop()
    beat.stop()
    return _say_finished(reporter, last_word)


def _run_recipe(recipe: Recipe, context: WorkerContext) -> RunFinished:
    try:
        result = recipe(context) or {}
    except KeyboardInterrupt:
        return RunFinished(outcome="stopped", reason="signal")
    except Exception as e:
        log.exception("the run failed")
        return RunFinished(outcome="failed", reason="error", error=error_info(e))
    except SystemExit as e:
        detail = f"SystemExit: {e.code}"
        error = ErrorInfo(code=ErrorCode.INTERNAL.value, params={"detail": detail})
        return RunFinished(outcome="failed", reason="error", error=error)
    outcome: Outcome = context.outcome or ("stopped" if context.stop_requested else "completed")
    reason = context.stop.reason if outcome == "stopped" else outcome
    return RunFinished(outcome=outcome, reason=reason, result=result)


def say_started(job: str, context: WorkerContext, pid: int) -> None:
    """Say `run.started`: the first word of a life of the run."""
    context.reporter.emit(
        RunStarted(
            job=job,
            pid=pid,
            versions=_versions(),
            resumed_from_step=context.resumed_from_step,
        )
    )


def _say_finished(reporter: Reporter, last_word: RunFinished) -> int:
    reporter.emit(last_word)
    deadline = time.monotonic() + LAST_WORD_WAIT_S
    while not reporter.flush():
        if time.monotonic() > deadline:
            return EXIT_DISK_FULL
        time.sleep(0.2)
    return EXIT_FAILED if last_word.outcome == "failed" else EXIT_OK


def _hear_signals(stop: StopRequest) -> None:
    """SIGTERM and SIGINT ask to stop; a recipe that needs its own handlers may set them later."""
    if threading.current_thread() is not threading.main_thread():
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.ask("signal")

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, ask)  # the only polite signal between Windows processes


def _versions() -> dict[str, str]:
    """Versions of what shapes a result; looked up without importing anything heavy."""
    found = {"python": platform.python_version()}
    for name in _SHAPING_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _ignore(_value: object) -> None:
    return

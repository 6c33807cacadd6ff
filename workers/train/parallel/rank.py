"""The life of a process that trains with the others, but neither speaks, writes nor hears."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.protocol.commands import Command
from core.protocol.events import Event
from core.protocol.exit_codes import EXIT_FAILED, EXIT_OK
from core.runlog.run_dir import RunDir
from workers.harness.context import WorkerContext
from workers.harness.control import Control, StopRequest
from workers.harness.failures import error_info
from workers.harness.reporter import Reporter
from workers.train.parallel.launcher import EXIT_PEER_LOST, error_file
from workers.train.parallel.seat import Seat

log = logging.getLogger(__name__)


class SilentReporter(Reporter):
    """Says nothing: the main process speaks for all."""

    def __init__(self) -> None:
        return

    @property
    def num_events(self) -> int:
        """None of its own."""
        return 0

    @property
    def delayed(self) -> bool:
        """Never."""
        return False

    def emit(self, event: Event) -> None:
        """Drop it."""

    def flush(self) -> bool:
        """Nothing waits."""
        return True


class DeafControl(Control):
    """Hears nothing: commands come from the main process, see `team.py`."""

    def __init__(self) -> None:
        return

    def poll(self) -> list[Command]:
        """Nothing."""
        return []

    def acknowledge(self, command: Command, accepted: bool = True, detail: str = "") -> None:
        """The main process answers."""

    def refresh(self) -> None:
        """Nothing to read."""


class Signaled:
    """Whether the system asked this process to stop; it tells the main one and goes on."""

    def __init__(self) -> None:
        self._heard = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def __call__(self) -> bool:
        """Heard yet?"""
        return self._heard

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._heard = True


def run_rank(folder: Path, seat: Seat, recipe: Callable[[WorkerContext], dict[str, Any]]) -> int:
    """Run the recipe for a rank other than 0; an error is left for the launcher to say."""
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s rank {seat.rank} %(name)s %(levelname)s %(message)s",
    )
    run = RunDir(folder)
    try:
        document = run.document()
        recipe(WorkerContext(run, document, SilentReporter(), DeafControl(), StopRequest()))
    except AppError as e:
        if e.code is ErrorCode.WORKER_RANKS_APART:
            log.info("another process failed: %s", e.detail)
            return EXIT_PEER_LOST
        log.error("this process failed: %s", e)
        return _failed(run, seat, e)
    except Exception as e:
        log.exception("this process failed")
        return _failed(run, seat, e)
    return EXIT_OK


def _failed(run: RunDir, seat: Seat, e: Exception) -> int:
    try:
        atomic_io.write_json(error_file(run, seat.rank), error_info(e).model_dump(mode="json"))
    except (AppError, OSError):
        log.error("the reason could not be written down")
    return EXIT_FAILED


def leave_quickly(code: int) -> NoReturn:
    """End without taking everything apart: that costs seconds, and libraries may wait there for
    processes that are gone. This one has nothing to write.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

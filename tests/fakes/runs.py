"""Makes runs of the fake worker and waits for what a test wants to see."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from core.paths import Home
from core.protocol.events import Event
from core.runlog.run_dir import RunDir, new_run_id
from core.runlog.tail import LogTail
from core.supervisor import RunView, Supervisor
from core.supervisor.worker_spec import current_python

FAKE = "tests.fakes.fake_worker"
PATIENCE_S = 60.0


class Runs:
    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor
        self._made: list[RunDir] = []

    def make(self, job: str = "train", **spec: Any) -> RunDir:
        document = {
            "v": 1, "job": job, "name": "a run", "spec": spec, "created_utc": time.time(),
            "interpreter": str(current_python()),
        }  # fmt: skip
        run = RunDir.create(self.home.runs, new_run_id(job, "fake"), document)
        self._made.append(run)
        return run

    def start(self, job: str = "train", **spec: Any) -> RunDir:
        run = self.make(job, **spec)
        self.supervisor.start(run, FAKE)
        return run

    def until(
        self,
        run: RunDir,
        condition: Callable[[RunView], object],
        supervisor: Supervisor | None = None,
    ) -> RunView:
        """Tick until the condition holds of this run's view."""
        ticking = supervisor or self.supervisor
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            ticking.tick()
            view = ticking.view(run.run_id)
            if condition(view):
                return view
            time.sleep(0.01)
        raise AssertionError(f"not seen in {PATIENCE_S:.0f} s: {ticking.view(run.run_id)}")

    def until_finished(self, run: RunDir, supervisor: Supervisor | None = None) -> RunView:
        return self.until(run, lambda v: v.finished and not v.alive, supervisor)

    def until_step(self, run: RunDir, step: int, supervisor: Supervisor | None = None) -> RunView:
        return self.until(run, lambda v: v.state.steps_done >= step, supervisor)

    def kill_all(self) -> None:
        for run in self._made:
            for pid in (_pid(self.supervisor, run), _child_pid(run)):
                if pid > 1:
                    _kill(pid)
        self.supervisor.tick()


def events_of(run: RunDir) -> list[Event]:
    """The whole event file."""
    tail = LogTail(run.events)
    return list(tail.read(1 << 30).events)


def _pid(supervisor: Supervisor, run: RunDir) -> int:
    if not run.run_json.exists():
        return 0
    try:
        followed = supervisor.attach(run.run_id)
    except Exception:
        return 0
    return followed.pid if followed.alive else 0


def _child_pid(run: RunDir) -> int:
    file = run.path / "child.pid"
    return int(file.read_text()) if file.exists() else 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

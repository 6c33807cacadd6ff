"""The frozen snapshot of a run that every face shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import ErrorInfo
from core.metrics.run_series import RunSeries
from core.protocol.events import Event
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, Status
from core.supervisor.verdict import Verdict


@dataclass(frozen=True)
class RunView:
    """One run at one tick."""

    run: RunDir
    document: dict[str, Any]
    """`run.json`."""
    state: RunState
    verdict: Verdict | None
    """Only when the worker died without its last word."""
    alive: bool
    heartbeat_age_s: float | None
    stopping: str | None
    """The rung of the stop ladder taken last: "command", "terminate", "kill"."""
    caught_up: bool
    """False while a long event file is still being read in bites."""
    series: RunSeries
    """Shared and growing: the same object in every view of a run, until `restarted`."""
    new_events: tuple[Event, ...] = ()
    """Events since the last tick that reported this run."""
    restarting: bool = False
    """A new worker was started and has not spoken yet."""
    restarted: bool = False
    """The event file was replaced: everything drawn before is void."""
    bad_lines: int = 0
    """Lines of the event file that could not be read; skipped."""
    pid: int | None = None
    """Of the worker that lives or lived last."""
    problem: ErrorInfo | None = None
    """Trouble beside the worker's own: the disk is full, the run folder vanished."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def job(self) -> str:
        """What kind of run: "train", "serve" or "fetch"."""
        return str(self.document.get("job", "")) or self.state.job

    @property
    def status(self) -> Status:
        """The status of the state, or "lost" by verdict."""
        if self.verdict is not None:
            return "lost"
        return "starting" if self.restarting else self.state.status

    @property
    def finished(self) -> bool:
        """Nothing more will come: the last word was said or a verdict spoken, and all is read.

        While an event file is still being read, a last word in it may be one of an earlier life.
        """
        if not self.caught_up:
            return False
        return self.verdict is not None or (self.state.finished and not self.restarting)

    @property
    def error(self) -> ErrorInfo | None:
        """Why the run failed or was lost."""
        if self.verdict is not None:
            return self.verdict.error(self.run_id)
        return None if self.restarting else self.state.error

"""One run that a supervisor follows: reading it, knowing its worker, judging its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from core import atomic_io
from core.errors import AppError, ErrorCode, ErrorInfo
from core.metrics.run_series import RunSeries
from core.protocol.events import Event
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold
from core.runlog.tail import LogTail
from core.supervisor.identity import ProcessIdentity, find_worker
from core.supervisor.oom import oom_kills
from core.supervisor.stop_ladder import StopLadder
from core.supervisor.verdict import Verdict, judge
from core.supervisor.view import RunView

_BITE_BYTES = 128 * 1024
"""About 350 steps, 3 ms of CPU: a tick overruns its budget by no more."""
_STALE_HEARTBEAT_S = 8.0
_LOOK_AT_DISK_S = 2.0
_LOW_DISK_BYTES = 256 * 1024
_LINGER_S = 20.0
"""A worker that said its last word may take so long to end."""


class Followed:
    """Mutable heart of a `RunView`."""

    def __init__(self, run: RunDir, document: dict[str, Any]) -> None:
        self.run = run
        self.document = document
        self.state = RunState()
        self.series = RunSeries()
        self.identity: ProcessIdentity | None = None
        self.ladder: StopLadder | None = None
        self.verdict: Verdict | None = None
        self.alive = False
        self.caught_up = False
        self._read_since_look = False
        self.changed = True
        self._problem: ErrorInfo | None = None
        self._tail = LogTail(run.events)
        self._new: list[Event] = []
        self._restarted = False
        self._oom_before: int | None = None
        self._disk_due = 0.0
        self._stale_s: int = 0
        self._last_word_at: float | None = None
        self._process_stamp: tuple[int, int] = (0, 0)

    def adopt(self) -> None:
        """Find the worker of this run, if one lives, and an earlier verdict."""
        self._process_stamp = _stamp(self.run.process_json)
        process = _process_document(self.run)
        found = ProcessIdentity.from_document(process) or find_worker(self.run.path)
        if found != self.identity:  # a stop of the worker before is not meant for this one
            self.ladder, self._last_word_at = None, None
        self.identity = found
        before = process.get("oom_kills")
        self._oom_before = before if isinstance(before, int) else None
        self.alive = self.identity is not None and self.identity.is_alive()
        self.verdict = None if self.alive else Verdict.read(self.run)

    def launched(self, identity: ProcessIdentity) -> None:
        """A new worker was started for this run."""
        self.identity, self.alive, self.verdict = identity, True, None
        self._process_stamp = _stamp(self.run.process_json)
        self.ladder, self._last_word_at = None, None
        self._oom_before = oom_kills()
        self.caught_up, self.changed = False, True

    @property
    def spoken(self) -> bool:
        """Whether the worker of this life has said `run.started`."""
        if self.identity is None:
            return self.state.started_utc is not None
        return self.state.pid == self.identity.pid

    @property
    def over(self) -> bool:
        """The last word of this life was said, or a verdict spoken."""
        return self.verdict is not None or (self.spoken and self.state.finished)

    def look(self) -> None:
        """See whether the worker lives. Before reading: its last word may come in between."""
        if not self.alive and _stamp(self.run.process_json) not in (self._process_stamp, (0, 0)):
            self.adopt()  # another face has started a worker for this run
            self.changed = True
        alive = self.identity is not None and self.identity.is_alive()
        self.changed |= alive != self.alive
        self.alive, self._read_since_look = alive, False
        self._look_at_heartbeat()
        self._look_at_folder()

    def read(self) -> bool:
        """Read one bite; true when there is more."""
        try:
            found = self._tail.read(_BITE_BYTES)
        except OSError as e:
            self._set_problem(ErrorCode.FILE_DAMAGED, path=str(self.run.events), detail=str(e))
            # There is nothing to wait for; its end can still be judged.
            self.caught_up = self._read_since_look = True
            return False
        if found.restarted:
            self._start_over()
        if found.events:
            self._take(found.events)
        self.changed |= bool(found.events or found.bad_lines)
        self.changed |= found.at_end != self.caught_up
        self.caught_up = self._read_since_look = found.at_end
        return not found.at_end

    def _take(self, events: tuple[Event, ...]) -> None:
        self.state = fold(self.state, events)
        self._new.extend(events)
        try:
            self.series.apply(events)
        except ValueError as e:  # figures that no curve can hold must not stop the other runs
            self._set_problem(ErrorCode.FILE_DAMAGED, path=str(self.run.events), detail=str(e))

    def conclude(self, exit_code: int | None) -> None:
        """After reading all: speak the verdict if the worker is gone without a last word."""
        if not self._died_silently():
            return
        known = self._verdict_of_parent(exit_code)
        self.verdict = known or self._judge(exit_code)
        if known is None:
            self.verdict.write(self.run)
        if self.identity is not None:
            self.identity.kill_orphans()
        self.changed = True

    def guess(self) -> None:
        """As `conclude`, but only for this view: nothing is written, nobody is ended."""
        if self._died_silently():
            self.verdict = self._verdict_of_parent(None) or self._judge(None)

    def _died_silently(self) -> bool:
        """Only what was read after the look counts: its last word may have come in between."""
        dead = not (self.alive or self.over or self._being_launched())
        return dead and self._read_since_look

    def _verdict_of_parent(self, exit_code: int | None) -> Verdict | None:
        """The parent's verdict knows the exit code: another face's guess must not replace it."""
        return Verdict.read(self.run) if exit_code is None and self.ladder is None else None

    def _judge(self, exit_code: int | None) -> Verdict:
        return judge(
            self.run,
            exit_code=exit_code,
            ladder=self.ladder,
            started=self.spoken,
            oom_struck=self._oom_struck(),
        )

    def lingers(self) -> bool:
        """The last word was said a while ago and the process still runs."""
        if not (self.alive and self.over):
            self._last_word_at = None
            return False
        self._last_word_at = self._last_word_at or time.monotonic()
        return time.monotonic() - self._last_word_at > _LINGER_S

    def view(self, *, take_news: bool = False) -> RunView:
        """The snapshot now; with `take_news` the news are handed over once."""
        news, restarted = tuple(self._new), self._restarted
        if take_news:
            self._new.clear()
            self._restarted = self.changed = False
        return RunView(
            run=self.run,
            document=self.document,
            state=self.state,
            verdict=self.verdict,
            alive=self.alive,
            heartbeat_age_s=self._heartbeat_age_s(),
            stopping=self.ladder.rung if self.ladder and self.alive else None,
            caught_up=self.caught_up,
            series=self.series,
            new_events=news,
            restarting=self.alive and not self.spoken,
            restarted=restarted,
            bad_lines=self._tail.bad_lines,
            pid=self.identity.pid if self.identity else None,
            problem=self._problem,
        )

    def _being_launched(self) -> bool:
        """Another face has made the folder and is about to start its worker."""
        return self.identity is None and not self.spoken and self.run.is_new()

    def _start_over(self) -> None:
        self.state = RunState()
        self.series = RunSeries()
        self._new.clear()
        self._restarted = self.changed = True

    def _oom_struck(self) -> bool:
        now = oom_kills()
        return now is not None and self._oom_before is not None and now > self._oom_before

    def _heartbeat_age_s(self) -> float | None:
        if not self.alive:
            return None
        try:
            return max(0.0, time.time() - self.run.heartbeat.stat().st_mtime)
        except OSError:
            return None

    def _look_at_heartbeat(self) -> None:
        """A silent heartbeat is news, once a second; a beating one is not."""
        age_s = self._heartbeat_age_s() or 0.0
        stale_s = int(age_s) if age_s > _STALE_HEARTBEAT_S else 0
        self.changed |= stale_s != self._stale_s
        self._stale_s = stale_s

    def _look_at_folder(self) -> None:
        now = time.monotonic()
        if not self.alive or now < self._disk_due:
            return
        self._disk_due = now + _LOOK_AT_DISK_S
        if not self.run.path.is_dir():
            self._set_problem(ErrorCode.RUN_NOT_FOUND, run_id=self.run.run_id)
        elif (free := atomic_io.free_bytes(self.run.path)) < _LOW_DISK_BYTES:
            self._set_problem(ErrorCode.DISK_FULL, path=str(self.run.path), free_bytes=free)
        elif self._problem is not None:
            self._problem, self.changed = None, True

    def _set_problem(self, code: ErrorCode, **params: str | int | float) -> None:
        problem = ErrorInfo(code=code.value, params=params)
        self.changed |= self._problem is None or self._problem.code != problem.code
        self._problem = problem


def load_view(run: RunDir) -> RunView:
    """The run as it is now, read to its end; shares nothing, so any thread may call it.

    A verdict that is not on the disk yet is spoken but not written: the face that started the
    worker knows more.

    Raises:
        AppError: `file.damaged` for a `run.json` that cannot be read.
    """
    followed = Followed(run, run.document())
    followed.adopt()
    followed.look()
    while followed.read():
        continue
    followed.guess()
    return followed.view()


def _stamp(path: Path) -> tuple[int, int]:
    """Changes whenever a file is replaced; (0, 0) without one."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def _process_document(run: RunDir) -> dict[str, Any]:
    path: Path = run.process_json
    try:
        found = atomic_io.read_json(path)
    except (AppError, OSError):
        return {}
    return found if isinstance(found, dict) else {}

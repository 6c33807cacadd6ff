"""Starts, follows and stops runs. No threads, no Qt: everything happens in `tick`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.paths import Home
from core.protocol.codec import encode_command
from core.protocol.commands import Command, StopCommand
from core.runlog.lock import launch_lock
from core.runlog.run_dir import RunDir
from core.supervisor.followed import Followed
from core.supervisor.identity import ProcessIdentity
from core.supervisor.launcher import Launcher, LocalLauncher
from core.supervisor.stop_ladder import StopLadder, StopTimes
from core.supervisor.view import RunView
from core.supervisor.worker_spec import WorkerSpec, current_python, worker_environment


class Supervisor:
    """One a face. Several faces may follow, command and stop the same run.

    Not thread-safe: call it from one thread, the one that ticks.
    """

    def __init__(self, home: Home, launcher: Launcher | None = None) -> None:
        self._home = home
        self._launcher = launcher or LocalLauncher()
        self._followed: dict[str, Followed] = {}
        self._children: set[ProcessIdentity] = set()
        self._turn = 0

    def start(self, run: RunDir, module: str) -> RunView:
        """Start `python -m module <run folder>`, also to go on in a run that ended.

        Raises:
            AppError: `run.still_alive`, `worker.start_failed`, `disk.full`, `folder.read_only`.
        """
        document = run.document()
        python = _interpreter(document)
        with launch_lock(run.path):
            followed = self._followed.get(run.run_id) or Followed(run, document)
            followed.adopt()
            if followed.alive:
                raise AppError(ErrorCode.RUN_STILL_ALIVE, run_id=run.run_id)
            run.set_aside()
            spec = WorkerSpec(module, python, run, worker_environment(self._home))
            identity = self._launcher.launch(spec)
        self._children.add(identity)
        followed.launched(identity)
        self._followed[run.run_id] = followed
        return followed.view()

    def attach(self, run_id: str) -> RunView:
        """Follow a run, also one that another face started; a living worker is adopted.

        Raises:
            AppError: `run.not_found`, `file.damaged`.
        """
        if run_id not in self._followed:
            run = RunDir.open(self._home.runs, run_id)
            followed = Followed(run, run.document())
            followed.adopt()
            self._followed[run_id] = followed
        return self._followed[run_id].view()

    def catch_up(self, run_id: str) -> RunView:
        """Attach and read the whole event file now, however long that takes.

        For the command line and for checks before a command; a window lets `tick` do it. News
        are kept for the next tick.

        Raises:
            AppError: `run.not_found`, `file.damaged`.
        """
        self.attach(run_id)
        followed = self._followed[run_id]
        followed.look()
        while followed.read():
            continue
        self._conclude(followed)
        return followed.view()

    def detach(self, run_id: str) -> None:
        """Follow no longer; the worker lives on."""
        self._followed.pop(run_id, None)

    @property
    def attached(self) -> tuple[str, ...]:
        """Ids of the runs that are followed."""
        return tuple(self._followed)

    @property
    def catching_up(self) -> bool:
        """Whether a long event file is still being read: tick again soon."""
        return any(not f.caught_up for f in self._followed.values())

    def send(self, run_id: str, command: Command) -> str:
        """Append a command for the worker and return its `command_id`.

        Raises:
            AppError: `run.not_found`, `run.not_alive`, `disk.full`, `folder.read_only`.
        """
        followed = self._living(run_id)
        _append_line(followed.run.control, encode_command(command))
        return command.command_id

    def stop(self, run_id: str, *, save: bool = True) -> None:
        """Start the stop ladder: command, then SIGTERM, then SIGKILL. Again: the next rung now.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        followed = self._living(run_id)
        if followed.ladder is None:
            followed.ladder = StopLadder(_stop_times(followed), save=save)
        else:
            followed.ladder.hurry("asked to stop again")
        self._climb(followed)

    def kill(self, run_id: str) -> None:
        """End the worker and all it started at once; nothing more is saved.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        followed = self._living(run_id)
        followed.ladder = followed.ladder or StopLadder(_stop_times(followed), save=False)
        followed.ladder.hurry("asked to kill", to="kill")
        self._climb(followed)

    def tick(self, budget_s: float = 0.03) -> list[RunView]:
        """Read, fold, judge and climb; the runs that changed, each once.

        Reading stops when `budget_s` of time is used up and goes on at the next tick; at least
        one bite is read, and every run gets its turn.
        """
        deadline = time.perf_counter() + budget_s
        runs = self._in_turn()
        for followed in runs:
            followed.look()
        self._read(runs, deadline)
        for followed in runs:
            self._conclude(followed)
        self._reap_detached()
        return [f.view(take_news=True) for f in runs if f.changed]

    def view(self, run_id: str) -> RunView:
        """The snapshot of a followed run, without taking its news.

        Raises:
            AppError: `run.not_found` when it is not followed.
        """
        if run_id not in self._followed:
            raise AppError(ErrorCode.RUN_NOT_FOUND, run_id=run_id)
        return self._followed[run_id].view()

    def _in_turn(self) -> list[Followed]:
        runs = list(self._followed.values())
        self._turn = (self._turn + 1) % max(1, len(runs))
        return runs[self._turn :] + runs[: self._turn]

    def _read(self, runs: list[Followed], deadline: float) -> None:
        unread = runs
        while unread:
            more = []
            for followed in unread:
                if followed.read():
                    more.append(followed)
                if time.perf_counter() > deadline:
                    return
            unread = more

    def _conclude(self, followed: Followed) -> None:
        identity = followed.identity
        exit_code = self._launcher.exit_code(identity) if identity is not None else None
        if followed.alive and followed.ladder is not None:
            self._climb(followed)
        elif followed.lingers():
            followed.ladder = StopLadder(reason="still running after its last word", first=1)
        if identity in self._children and exit_code is None:
            return  # dead to all others, but its last thread is still going: the code comes soon
        followed.conclude(exit_code)

    def _climb(self, followed: Followed) -> None:
        ladder, identity = followed.ladder, followed.identity
        if ladder is None or identity is None or (rung := ladder.next()) is None:
            return
        followed.changed = True
        match rung:
            case "command":
                self._command_stop(followed, ladder)
            case "terminate":
                identity.terminate()
            case "kill":
                identity.kill_group()

    def _command_stop(self, followed: Followed, ladder: StopLadder) -> None:
        """A full disk or read-only folder takes no command, so SIGTERM follows at once."""
        try:
            line = encode_command(StopCommand(save=ladder.save))
            _append_line(followed.run.control, line)
        except (AppError, OSError) as e:
            ladder.hurry(f"the command could not be written: {e}")

    def _living(self, run_id: str) -> Followed:
        self.attach(run_id)
        followed = self._followed[run_id]
        followed.look()
        if not followed.alive:
            raise AppError(ErrorCode.RUN_NOT_ALIVE, run_id=run_id)
        return followed

    def _reap_detached(self) -> None:
        """Children of this process leave zombies behind until somebody asks for their end."""
        followed = {f.identity for f in self._followed.values()}
        for identity in tuple(self._children - followed):
            if self._launcher.exit_code(identity) is not None:
                self._children.discard(identity)


def _interpreter(document: dict[str, Any]) -> Path:
    """The one the run was made with; this process's own when that environment was moved away."""
    named = Path(str(document.get("interpreter") or ""))
    return named if named.is_file() else current_python()


def _append_line(path: Path, line: bytes) -> None:
    """Append in one write; a line that an earlier full disk tore is closed first."""
    with atomic_io.disk_errors(path), path.open("ab+", buffering=0) as f:
        size = f.seek(0, os.SEEK_END)
        if size:
            f.seek(size - 1)
            line = line if f.read(1) == b"\n" else b"\n" + line
        if f.write(line) != len(line):
            f.truncate(size)
            raise AppError(ErrorCode.DISK_FULL, path=str(path))


def _stop_times(followed: Followed) -> StopTimes:
    """A server may take its drain time; training may finish a step and write a checkpoint."""
    drain_s = followed.document.get("spec", {}).get("drain_s")
    if isinstance(drain_s, int | float):
        return StopTimes(command_s=float(drain_s) + 5.0)
    return StopTimes()

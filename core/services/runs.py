"""What can be done with any run: list, look, stop, resume, export, report, delete."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from core import atomic_io
from core.errors import ErrorCode, UsageError
from core.paths import Home
from core.runlog.index import RunIndex, RunSummary
from core.runlog.run_dir import RunDir
from core.services.export import write_csv
from core.services.train import TrainService
from core.supervisor import RunView, Supervisor, load_view

# `RunsService.list` is part of the contract and hides the builtin inside the class.
Summaries = list[RunSummary]

_RESTARTABLE = {"serve": "workers.serve", "fetch": "workers.models", "export": "workers.export"}
"""Jobs that simply begin again in their folder; a fetch goes on with the parts it has."""


class RunsService:
    """Everything a list of runs offers."""

    def __init__(self, home: Home, supervisor: Supervisor, train: TrainService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._train = train
        self._index = RunIndex(home)

    def list(self) -> Summaries:
        """All runs, newest first; damaged ones with their problem."""
        return self._index.list()

    def show(self, run_id: str) -> RunView:
        """The run as it is now, read to the end of its events; safe to call from any thread.

        Raises:
            AppError: `run.not_found`, `file.damaged`.
        """
        return load_view(RunDir.open(self._home.runs, run_id))

    def stop(self, run_id: str, *, save: bool = True) -> None:
        """Start the stop ladder; ticks of the supervisor climb it.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        self._supervisor.stop(run_id, save=save)

    def resume(self, run_id: str, changes: dict[str, Any] | None = None) -> RunView:
        """Go on in the same folder: training from its checkpoint, the others from the start.

        `changes` are for trainings, see `TrainService.resume`.

        Raises:
            AppError: `run.not_found`, `run.still_alive`, `run.not_resumable`, `checkpoint.none`,
                `input.bad_value` for changes that cannot be.
        """
        run = RunDir.open(self._home.runs, run_id)
        job = str(run.document().get("job", ""))
        if job == "train":
            return self._train.resume(run_id, changes)
        if changes:
            raise UsageError(ErrorCode.BAD_USAGE, detail="--set is for trainings")
        if job not in _RESTARTABLE:
            raise UsageError(ErrorCode.RUN_NOT_RESUMABLE, run_id=run_id, detail=job)
        return self._supervisor.start(run, _RESTARTABLE[job])

    def export_csv(self, run_id: str, folder: Path | None = None) -> Path:
        """Write the full data as CSV; the path of the steps' file is returned.

        Args:
            run_id: which run.
            folder: where to; the run's own `exports` by default.

        Raises:
            AppError: `run.not_found`, `disk.full`, `folder.read_only`.
        """
        run = RunDir.open(self._home.runs, run_id)
        return write_csv(run, folder or run.exports)

    def report(self, run_id: str, language: Literal["en", "zh"] = "en") -> Path:
        """Write the HTML report into the run folder.

        Raises:
            AppError: `run.not_found`, `disk.full`, `folder.read_only`.
        """
        from core.services.report import write_report

        view = self.show(run_id)
        return write_report(view, view.run.report, language)

    def delete(self, run_id: str) -> None:
        """Remove a run and all its files, adapter and checkpoints too.

        Raises:
            AppError: `run.not_found`, `run.still_alive`, `folder.read_only`.
        """
        view = self._supervisor.attach(run_id)
        if view.alive:
            raise UsageError(ErrorCode.RUN_STILL_ALIVE, run_id=run_id)
        self._supervisor.detach(run_id)
        doomed = view.run.path.with_name(f".deleted-{run_id}")
        with atomic_io.disk_errors(view.run.path):
            # Renamed first: a list never shows half a run, and a crash leaves only a hidden rest.
            view.run.path.rename(doomed)
            shutil.rmtree(doomed)

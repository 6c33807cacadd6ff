"""Names and layout of a run folder. One writer a file, see docs/architecture.md."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import atomic_io
from core.errors import AppError, ErrorCode

_CHECKPOINT = re.compile(r"^step-\d+$")
_LAUNCH_GRACE_S = 10.0
_SAFE = re.compile(r"[^a-z0-9]+")


def new_run_id(job: str, label: str = "") -> str:
    """Sorts by time, says what it is, and never collides: 20261123-195301-train-law-qa-4f2a."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    slug = _SAFE.sub("-", label.lower()).strip("-")[:24]
    return "-".join(p for p in (stamp, job, slug, secrets.token_hex(2)) if p)


@dataclass(frozen=True)
class RunDir:
    """Paths of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def run_json(self) -> Path:
        """Written once by the service: job, spec, versions, seed, interpreter, created_at."""
        return self.path / "run.json"

    @property
    def process_json(self) -> Path:
        """Written by the launcher: pid, creation time, executable."""
        return self.path / "process.json"

    @property
    def events(self) -> Path:
        """Appended by the worker only."""
        return self.path / "events.jsonl"

    @property
    def control(self) -> Path:
        """Appended by faces only."""
        return self.path / "control.jsonl"

    @property
    def output_log(self) -> Path:
        """Stdout and stderr of the worker, for people; never parsed."""
        return self.path / "output.log"

    @property
    def heartbeat(self) -> Path:
        """Touched by a thread of the worker every two seconds."""
        return self.path / "heartbeat"

    @property
    def verdict_json(self) -> Path:
        """Written by a supervisor when the process is gone without `run.finished`."""
        return self.path / "verdict.json"

    @property
    def overrides(self) -> Path:
        """Changes of the spec since the start (`core.runlog.overrides`), by worker or service."""
        return self.path / "overrides.json"

    def is_new(self) -> bool:
        """Made so lately that its worker may still be about to be started."""
        try:
            return time.time() - self.run_json.stat().st_mtime < _LAUNCH_GRACE_S
        except OSError:
            return False

    def newest_checkpoint(self) -> Path | None:
        """The announced checkpoint folder with the highest step; staging folders do not count."""
        try:
            found = [p for p in self.checkpoints.iterdir() if _CHECKPOINT.match(p.name)]
        except OSError:
            return None
        return max(found, key=lambda p: int(p.name.rpartition("-")[2]), default=None)

    def set_aside(self) -> None:
        """Before a resume: number the verdict and the commands of the life before.

        Raises:
            AppError: `folder.read_only`, `disk.full`.
        """
        with atomic_io.disk_errors(self.path):
            for file in (self.verdict_json, self.control):
                if file.exists():
                    file.rename(self._numbered(file))

    def _numbered(self, file: Path) -> Path:
        names = (f"{file.stem}-{n}{file.suffix}" for n in itertools.count(1))
        return next(p for n in names if not (p := file.with_name(n)).exists())

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint: step-000120."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The trained adapter of the last save."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The whole trained model, or what was merged: a folder like any other model's."""
        return self.path / "model"

    @property
    def exports(self) -> Path:
        """What the user exported: CSV, pictures."""
        return self.path / "exports"

    @property
    def report(self) -> Path:
        """HTML report of the run."""
        return self.path / "report.html"

    @classmethod
    def create(cls, runs: Path, run_id: str, document: dict[str, Any]) -> RunDir:
        """Make the folder, exclusively, and write `run.json`.

        Raises:
            AppError: `run.exists`, `disk.full` or `folder.read_only`.
        """
        run = cls(runs / run_id)
        with atomic_io.disk_errors(runs):
            runs.mkdir(parents=True, exist_ok=True)
            try:
                # Prompts, data paths and keys' names are the user's business alone.
                run.path.mkdir(mode=0o700)
            except FileExistsError as e:
                raise AppError(ErrorCode.RUN_EXISTS, run_id=run_id) from e
        try:
            atomic_io.write_json(run.run_json, document)
        except AppError:
            run._discard()
            raise
        return run

    @classmethod
    def open(cls, runs: Path, run_id: str) -> RunDir:
        """An existing run.

        Raises:
            AppError: `run.not_found`, also for an id that tries to be a path.
        """
        run = cls(runs / run_id)
        if Path(run_id).name != run_id or not run.run_json.is_file():
            raise AppError(ErrorCode.RUN_NOT_FOUND, run_id=run_id)
        return run

    def document(self) -> dict[str, Any]:
        """`run.json` as it was written."""
        found = atomic_io.read_json(self.run_json)
        if not isinstance(found, dict):
            raise AppError(ErrorCode.FILE_DAMAGED, path=str(self.run_json), detail="not an object")
        return found

    def _discard(self) -> None:
        for file in self.path.iterdir():
            file.unlink(missing_ok=True)
        self.path.rmdir()

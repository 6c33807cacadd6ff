"""All runs of a home, newest first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import atomic_io
from core.errors import AppError, ErrorCode, ErrorInfo
from core.metrics.eval_mean import mean_eval_loss
from core.paths import Home
from core.protocol.events import (
    RunFinished,
    RunStarted,
    TrainPlanned,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from core.runlog.state import Status
from core.runlog.summary import EventDigest
from core.supervisor.identity import ProcessIdentity

HIDDEN_JOBS = frozenset({"preview"})
"""Small services to a page, not runs that a user would look for."""


@dataclass(frozen=True)
class RunSummary:
    """One line of the list."""

    run_id: str
    job: str = ""
    name: str = ""
    model: str = ""
    data: str = ""
    created_utc: float = 0.0
    status: Status = "starting"
    step: int = 0
    total_steps: int | None = None
    last_loss: float | None = None
    last_eval_loss: float | None = None
    """Over all splits, see `core.metrics.eval_mean`."""
    adapter: Path | None = None
    """Of the last save, if there is one."""
    alive: bool = False
    alarms: int = 0
    """Alarms raised in the whole life of the run."""
    resumable: bool = False
    """A training run that ended early and left a checkpoint."""
    problem: ErrorInfo | None = None
    """Why this run cannot be read; then only the id is known."""


class RunIndex:
    """Reads each event file once and then only what was added, so a list may be asked often."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._digests: dict[str, EventDigest] = {}
        self._documents: dict[str, dict[str, Any]] = {}

    def list(self) -> list[RunSummary]:
        """Every run, newest first. A damaged run is listed with its problem; it hides no other."""
        found = [self._summary(RunDir(path)) for path in self._folders()]
        found = [s for s in found if s.job not in HIDDEN_JOBS]
        return sorted(found, key=lambda s: (s.created_utc, s.run_id), reverse=True)

    def _folders(self) -> tuple[Path, ...]:
        try:
            with os.scandir(self._home.runs) as entries:
                return tuple(Path(e.path) for e in entries if _is_run(e))
        except FileNotFoundError:
            return ()

    def _summary(self, run: RunDir) -> RunSummary:
        try:
            document = self._document(run)
            digest = self._digests.setdefault(run.run_id, EventDigest(run.events))
            digest.update()
            return _summarize(run, document, digest)
        except AppError as e:
            return RunSummary(run.run_id, problem=e.info, created_utc=_changed_utc(run))
        except (OSError, ValueError, TypeError) as e:
            problem = ErrorInfo(
                code=ErrorCode.FILE_DAMAGED.value, params={"path": str(run.path), "detail": str(e)}
            )
            return RunSummary(run.run_id, problem=problem, created_utc=_changed_utc(run))

    def _document(self, run: RunDir) -> dict[str, Any]:
        """`run.json` is written once, so once is enough to read it."""
        if run.run_id not in self._documents:
            self._documents[run.run_id] = run.document()
        return self._documents[run.run_id]


def _is_run(entry: os.DirEntry[str]) -> bool:
    return (
        not entry.name.startswith(".") and entry.is_dir() and Path(entry.path, "run.json").is_file()
    )


def _summarize(run: RunDir, document: dict[str, Any], digest: EventDigest) -> RunSummary:
    spec = document.get("spec") or {}
    step = digest.get(TrainStep)
    plan = digest.get(TrainPlanned)
    identity = _identity(run)
    alive = _may_live(identity, digest) and identity is not None and identity.is_alive()
    status = _status(run, identity, digest, alive=alive)
    job = str(document.get("job", ""))
    return RunSummary(
        run_id=run.run_id,
        job=job,
        name=str(document.get("name", "")),
        model=str(spec.get("model", "")),
        data=str(spec.get("data", "")),
        created_utc=float(document.get("created_utc") or 0.0),
        status=status,
        step=step.step if step else 0,
        total_steps=plan.total_steps if plan else None,
        last_loss=step.loss if step else None,
        last_eval_loss=mean_eval_loss(digest.evals.values()),
        adapter=run.adapter if run.adapter.is_dir() else None,
        alive=alive,
        alarms=digest.alarms,
        resumable=job == "train"
        and status in ("stopped", "failed", "lost")
        and run.newest_checkpoint() is not None,
    )


def _spoken(identity: ProcessIdentity | None, digest: EventDigest) -> bool:
    """Whether the newest worker has said anything; before that the file tells of the one before."""
    started = digest.get(RunStarted)
    return started is not None and (identity is None or started.pid == identity.pid)


def _finished(digest: EventDigest) -> RunFinished | None:
    """The last word, unless a later life began."""
    started, finished = digest.get(RunStarted), digest.get(RunFinished)
    if finished and (started is None or finished.seq > started.seq):
        return finished
    return None


def _may_live(identity: ProcessIdentity | None, digest: EventDigest) -> bool:
    """Asking the system for every old run would cost more than all else."""
    return _finished(digest) is None or not _spoken(identity, digest)


def _status(
    run: RunDir, identity: ProcessIdentity | None, digest: EventDigest, *, alive: bool
) -> Status:
    spoken, finished = _spoken(identity, digest), _finished(digest)
    if spoken and finished:
        return finished.outcome
    if alive:
        return "running" if spoken else "starting"
    if identity is None and digest.get(RunStarted) is None and run.is_new():
        return "starting"  # between the folder and the process
    return "lost"


def _identity(run: RunDir) -> ProcessIdentity | None:
    try:
        found = atomic_io.read_json(run.process_json)
    except (AppError, OSError):
        return None
    return ProcessIdentity.from_document(found) if isinstance(found, dict) else None


def _changed_utc(run: RunDir) -> float:
    try:
        return run.path.stat().st_mtime
    except OSError:
        return 0.0

"""A look at the data as the model will see it: tokens, masks, lengths, adapted modules."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from core.config.preview import PreviewSpec
from core.datasets import open_dataset
from core.errors import AppError
from core.paths import Home
from core.runlog.preview import Preview, read_preview
from core.runlog.run_dir import RunDir, new_run_id
from core.services.documents import run_document
from core.services.models import ModelsService
from core.services.train import model_reference
from core.supervisor import RunView, Supervisor

WORKER_MODULE = "workers.preview"
KEPT = 4
"""So many finished previews stay on disk: a window may still show the one before."""


class PreviewService:
    """Starts previews, reads their results, and removes old ones."""

    def __init__(self, home: Home, supervisor: Supervisor, models: ModelsService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models = models

    def start(self, spec: PreviewSpec) -> RunView:
        """Start a worker that writes `preview.json` in its run folder; takes a few seconds.

        Raises:
            UsageError: `model.*` or `data.*`; nothing was written.
            AppError: `disk.full`, `folder.read_only`, `worker.start_failed`.
        """
        model = self._models.resolve(spec.model)
        dataset = open_dataset(Path(spec.data).expanduser().resolve())
        paths = {"model": model_reference(model), "data": str(dataset.path)}
        document = run_document("preview", spec.model_copy(update=paths), name=dataset.name)
        self._remove_old()
        run = RunDir.create(self._home.runs, new_run_id("preview"), document)
        return self._supervisor.start(run, WORKER_MODULE)

    def result(self, run_id: str) -> Preview | None:
        """What the worker found; None while it is still at work, or when it failed.

        Raises:
            AppError: `run.not_found`, `file.damaged`.
        """
        return read_preview(RunDir.open(self._home.runs, run_id).path)

    def _remove_old(self) -> None:
        """Names begin with the time, so the oldest come first."""
        found = sorted(self._home.runs.glob("*-preview-*"))
        for path in found[: max(0, len(found) - KEPT + 1)]:
            with contextlib.suppress(AppError, OSError):
                self._remove(RunDir.open(self._home.runs, path.name))

    def _remove(self, run: RunDir) -> None:
        if run.document().get("job") != "preview" or self._supervisor.attach(run.run_id).alive:
            return
        self._supervisor.detach(run.run_id)
        shutil.rmtree(run.path)

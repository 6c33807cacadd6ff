"""Checkpoints and the final adapter; a save that fails is an alarm, and training goes on."""

from __future__ import annotations

import logging
from typing import Any

from core import atomic_io
from core.divergence import SAVE_FAILED
from core.errors import AppError
from core.protocol.events import AlarmRaised, ArtifactSaved, CheckpointSaved
from workers.harness.context import WorkerContext
from workers.train import checkpoint, checkpoint_files
from workers.train.chat import FALLBACK_TEMPLATE
from workers.train.checkpoint import TrainerState

log = logging.getLogger(__name__)


class Saver:
    """Writes what is to survive of one run."""

    def __init__(
        self, ctx: WorkerContext, model: Any, optimizer: Any, tokenizer: Any, keep: int
    ) -> None:
        self._ctx = ctx
        self._model = model
        self._optimizer = optimizer
        self._tokenizer = tokenizer
        self._keep = keep
        self._last_step: int | None = None

    def checkpoint(self, state: TrainerState) -> AppError | None:
        """Write a checkpoint, say it, remove old ones. Returns why it could not, and alarms."""
        if self._last_step == state.step:
            return None
        self._ctx.reporter.phase("saving")
        try:
            folder = checkpoint.save(self._ctx.run, self._model, self._optimizer, state)
        except AppError as e:
            return self._failed(e, state.step)
        self._last_step = state.step
        self._ctx.reporter.emit(
            CheckpointSaved(
                step=state.step,
                path=folder.relative_to(self._ctx.run.path).as_posix(),
                size_bytes=checkpoint_files.folder_bytes(folder),
            )
        )
        checkpoint_files.prune(self._ctx.run, self._keep)
        return None

    def is_saved(self, step: int) -> None:
        """A resumed run has the checkpoint of this step already; it is not written over."""
        self._last_step = step

    def adapter(self) -> str:
        """Write the adapter for serving and say it; returns its path relative to the run folder.

        Raises:
            AppError: `disk.full` or `folder.read_only`; the last checkpoint still has the weights.
        """
        target = self._ctx.run.adapter
        tensors = checkpoint.adapter_tensors(self._model)
        checkpoint.need_room(target, sum(t.nbytes for t in tensors.values()))
        with atomic_io.staged_folder(target) as folder:
            checkpoint.save_adapter(self._model, tensors, folder)
            if self._tokenizer.chat_template == FALLBACK_TEMPLATE:
                (folder / "chat_template.jinja").write_text(FALLBACK_TEMPLATE, "utf-8")
        size = checkpoint_files.folder_bytes(target)
        self._ctx.reporter.emit(
            ArtifactSaved(artifact="adapter", path=target.name, size_bytes=size)
        )
        return target.name

    def _failed(self, e: AppError, step: int) -> AppError:
        log.error("checkpoint at step %d: %s", step, e)
        self._ctx.reporter.emit(
            AlarmRaised(
                alarm=SAVE_FAILED,
                severity="error",
                step=step,
                value=float(e.params.get("free_bytes", 0)),
                threshold=float(e.params.get("needed_bytes", 0)),
                detail=str(e),
            )
        )
        return e

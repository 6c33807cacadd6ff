"""Checkpoints and the final adapter or model; a failed save is an alarm, no end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core import atomic_io
from core.divergence import SAVE_FAILED
from core.errors import AppError
from core.protocol.events import AlarmRaised, ArtifactSaved, CheckpointSaved
from workers.harness.context import WorkerContext
from workers.train import checkpoint, checkpoint_files, model_files, trained_state
from workers.train.checkpoint import Contents, TrainerState

log = logging.getLogger(__name__)


class Saver:
    """Writes what is to survive of one run."""

    def __init__(
        self,
        ctx: WorkerContext,
        model: Any,
        optimizer: Any,
        tokenizer: Any,
        keep: int,
        *,
        stored_dtype: torch.dtype | None = None,
    ) -> None:
        self._ctx = ctx
        self._model = model
        self._optimizer = optimizer
        self._tokenizer = tokenizer
        self._keep = keep
        self._dtype = stored_dtype
        self._last_step: int | None = None

    def checkpoint(self, state: TrainerState) -> AppError | None:
        """Write a checkpoint, say it, remove old ones. Returns why it could not, and alarms."""
        if self._last_step == state.step:
            return None
        self._ctx.reporter.phase("saving")
        error = self._write(
            checkpoint.collect(self._model, self._optimizer, state, copy=False), state
        )
        if error is None:
            self._last_step = state.step
        return error

    def now_best(self, state: TrainerState) -> bool:
        """Say of the checkpoint of this step that it is the best; false when there is none."""
        if self._last_step != state.step:
            return False
        folder = self._ctx.run.checkpoints / checkpoint_files.folder_name(state.step)
        self._say(folder, state.step, best=True)
        return True

    def older(self, contents: Contents, now: TrainerState) -> AppError | None:
        """Write a state of before as its own checkpoint; `now` says which must be kept."""
        self._ctx.reporter.phase("saving")
        return self._write(contents, now)

    def went_back(self, contents: Contents) -> AppError | None:
        """After a rollback: nothing newer than `contents` is left, and they are on disk."""
        self._ctx.reporter.phase("saving")
        error = self._by_main(lambda: self._remove_after(contents.state.step))
        error = error or self._write(contents, contents.state)
        self._last_step = None if error else contents.state.step
        return error

    def _by_main(self, work: Callable[[], AppError | None]) -> AppError | None:
        """The main process works on files; all learn how it went. A meeting."""
        team = self._ctx.team
        return team.share(work() if team.is_main else None)

    def _remove_after(self, step: int) -> AppError | None:
        try:
            with atomic_io.disk_errors(self._ctx.run.checkpoints):
                checkpoint_files.remove_after(self._ctx.run, step)
        except AppError as e:
            return self._failed(e, step)
        return None

    def _write(self, contents: Contents, now: TrainerState) -> AppError | None:
        return self._by_main(lambda: self._write_here(contents, now))

    def _write_here(self, contents: Contents, now: TrainerState) -> AppError | None:
        step = contents.state.step
        try:
            folder = checkpoint.write(self._ctx.run, self._model, contents)
        except AppError as e:
            return self._failed(e, step)
        self._say(folder, step, best=now.best.get("step") == step)
        protected = {int(now.best["step"])} if now.best else set()
        checkpoint_files.prune(self._ctx.run, self._keep, {*protected, *now.protected})
        return None

    def _say(self, folder: Path, step: int, *, best: bool) -> None:
        self._ctx.reporter.emit(
            CheckpointSaved(
                step=step,
                path=folder.relative_to(self._ctx.run.path).as_posix(),
                size_bytes=checkpoint_files.folder_bytes(folder),
                best=best,
            )
        )

    def is_saved(self, step: int) -> None:
        """A resumed run has the checkpoint of this step already; it is not written over."""
        self._last_step = step

    def result(self) -> dict[str, str | None]:
        """Write what was learned for use and say it: the adapter, or the whole model.

        Returns:
            "adapter" and "model" with the path relative to the run folder, or None.

        Raises:
            AppError: `disk.full` or `folder.read_only`; the last checkpoint still has the weights.
        """
        if trained_state.is_adapter(self._model):
            return {"adapter": self._adapter(), "model": None}
        return {"adapter": None, "model": self._whole_model()}

    def _adapter(self) -> str:
        target = self._ctx.run.adapter
        tensors = trained_state.weight_tensors(self._model)
        if not self._ctx.team.is_main:
            return target.name
        checkpoint.need_room(target, sum(t.nbytes for t in tensors.values()))
        with atomic_io.staged_folder(target) as folder:
            checkpoint.save_weights(self._model, tensors, folder)
            model_files.save_fallback_template(self._tokenizer, folder)
        return self._say_artifact("adapter", target)

    def _whole_model(self) -> str:
        target = self._ctx.run.model
        dtype = self._dtype or torch.bfloat16
        checkpoint.need_room(target, model_files.model_room(self._model, dtype))
        with atomic_io.staged_folder(target) as folder:
            model_files.save_model(self._model, self._tokenizer, folder, dtype)
        return self._say_artifact("model", target)

    def _say_artifact(self, artifact: str, target: Path) -> str:
        size = checkpoint_files.folder_bytes(target)
        self._ctx.reporter.emit(ArtifactSaved(artifact=artifact, path=target.name, size_bytes=size))
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

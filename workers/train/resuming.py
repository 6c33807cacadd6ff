"""Taking a run up again where its newest whole checkpoint stands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.divergence import CHECKPOINT_DAMAGED
from core.errors import AppError, ErrorCode
from core.protocol.codec import BadLine, decode_event
from core.protocol.events import (
    AlarmRaised,
    Event,
    LearningRateChanged,
    RolledBack,
    SamplesExcluded,
)
from core.runlog.run_dir import RunDir
from workers.harness.context import WorkerContext
from workers.train import checkpoint, checkpoint_files, course, random_state
from workers.train.checkpoint import TrainerState
from workers.train.parts import Parts

log = logging.getLogger(__name__)


def take_up(ctx: WorkerContext, parts: Parts) -> None:
    """Continue from the newest whole checkpoint; name the damaged ones that were passed over.

    Raises:
        AppError: `run.not_resumable` when spec or data are not what they were.
    """
    choice = ctx.team.share(_choose(ctx) if ctx.team.is_main else None)
    if choice is None:
        return
    for error in choice.damaged:
        name = Path(str(error.params["path"])).name
        ctx.reporter.emit(
            AlarmRaised(
                alarm=CHECKPOINT_DAMAGED, step=choice.step, detail=f"{name}: {error.detail}"
            )
        )
    if choice.path is not None:
        _load(ctx, parts, choice.path)
    ctx.team.share(wishes(ctx.run) if ctx.team.is_main else Wishes()).put_into(parts.state)


@dataclass(frozen=True)
class Wishes:
    """What a person had decided, which holds also when no checkpoint was written since."""

    excluded: frozenset[int] = frozenset()
    lr_scale: float | None = None
    """Set by hand, and by no rollback after that."""

    def put_into(self, state: TrainerState) -> None:
        """Let them hold from the next step on."""
        state.excluded = sorted({*state.excluded, *self.excluded})
        if self.lr_scale is not None:
            course.set_lr_scale(state, self.lr_scale)


def wishes(run: RunDir) -> Wishes:
    """Read them from what the worker had said. Never raises: they are a part of the past."""
    excluded: set[int] = set()
    scale: float | None = None
    for event in _told(run):
        match event:
            case SamplesExcluded():
                excluded.update(event.samples)
            case RolledBack():
                scale = None
            case LearningRateChanged() if event.reason == "user":
                scale = event.lr_scale
    return Wishes(frozenset(excluded), scale)


def _told(run: RunDir) -> Iterator[Event]:
    kinds = [f'"{e.KIND}"'.encode() for e in (SamplesExcluded, RolledBack, LearningRateChanged)]
    try:
        with run.events.open("rb") as file:
            for line in file:
                # Decoding every step of a long run would take seconds.
                if any(kind in line for kind in kinds):
                    with suppress(BadLine):
                        yield decode_event(line)
    except OSError as e:
        log.error("what was decided in the run's life before cannot be read: %s", e)


def _load(ctx: WorkerContext, parts: Parts, folder: Path) -> None:
    now = parts.state
    state, generators = checkpoint.load(
        folder,
        parts.model,
        parts.optimizer,
        check=lambda then: _check_same(ctx, now, then),
        team=ctx.team,
    )
    parts.state, parts.generators = state, generators
    # For who takes a snapshot before the first step; and once more when its window was fetched.
    random_state.restore(state.random, generators)
    parts.saver.is_saved(state.step)
    parts.detectors.restore(state.detectors)
    if parts.scaler and state.scaler:
        parts.scaler.load_state_dict(state.scaler)


def _choose(ctx: WorkerContext) -> checkpoint_files.Choice:
    checkpoint_files.sweep(ctx.run)
    return checkpoint_files.choose(ctx.run)


def _check_same(ctx: WorkerContext, now: TrainerState, then: TrainerState) -> None:
    pairs = (
        ("spec", now.spec_hash, then.spec_hash),
        ("data", now.data, then.data),
        ("model", now.model, then.model or now.model),
    )
    for what, new, old in pairs:
        if new != old:
            raise AppError(
                ErrorCode.RUN_NOT_RESUMABLE,
                run_id=ctx.run.run_id,
                detail=f"the {what} changed: {old} then, {new} now",
            )

"""Taking a run up again where its newest whole checkpoint stands."""

from __future__ import annotations

from pathlib import Path

from core.divergence import CHECKPOINT_DAMAGED
from core.errors import AppError, ErrorCode
from core.protocol.events import AlarmRaised
from workers.harness.context import WorkerContext
from workers.train import checkpoint, checkpoint_files
from workers.train.checkpoint import TrainerState
from workers.train.parts import Parts


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
    if choice.path is None:
        return
    now = parts.state
    state, generators = checkpoint.load(
        choice.path,
        parts.model,
        parts.optimizer,
        check=lambda then: _check_same(ctx, now, then),
        team=ctx.team,
    )
    parts.state, parts.generators = state, generators
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

"""One try to train a run: a rung of the memory ladder may lead to another."""

from __future__ import annotations

from typing import Any

from core.config.train import TrainSpec
from workers.harness.context import WorkerContext
from workers.train.device import MemoryMeter, Place
from workers.train.dry_run import refuse_what_would_be_killed, try_out
from workers.train.memory_ladder import Attempt, MemoryLadder
from workers.train.prepare import prepare
from workers.train.trainer import Trainer


def train_in_attempts(
    ctx: WorkerContext, spec: TrainSpec, place: Place, meter: MemoryMeter
) -> dict[str, Any]:
    """Train; when memory runs out, again with the next rung, if `spec.oom_ladder` allows it.

    Raises:
        StopWanted: a stop was asked for before the first step.
        AppError: whatever made it fail, with a code.
    """

    def once(attempt: Attempt) -> dict[str, Any]:
        parts = attempt.parts = prepare(ctx, attempt.spec, place, meter)
        ctx.team.begin()
        assert parts.heaviest is not None
        assert parts.outlook is not None
        if attempt.spec.dry_run and not parts.state.step:
            try_out(ctx, parts, parts.heaviest, parts.outlook)
        else:
            refuse_what_would_be_killed(parts, parts.outlook)
        attempt.trainer = Trainer(ctx, parts)
        return attempt.trainer.run()

    return MemoryLadder(ctx, place, meter).run(spec, once)

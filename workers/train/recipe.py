"""The training job: what `run_worker` calls."""

from __future__ import annotations

from typing import Any

from core.config.train import TrainSpec
from core.runlog.overrides import effective_spec
from workers.harness.context import WorkerContext
from workers.train.device import MemoryMeter, card_lost, choose_place, show_only
from workers.train.interrupts import StopWanted
from workers.train.parallel.seat import Seat


def train(ctx: WorkerContext) -> dict[str, Any]:
    """Train the run in `ctx` and return its facts for `run.finished`.

    Raises:
        AppError: whatever made it fail, with a code.
    """
    spec = TrainSpec.parse(effective_spec(ctx.run, ctx.document))
    ctx.reporter.phase("starting")
    seat = Seat.taken()
    show_only(seat.device(spec.device) if seat else spec.device)
    # torch and transformers take seconds to import: run.started and the phase are said before.
    from workers.train.attempt import train_in_attempts
    from workers.train.parallel.meeting import together

    place = choose_place(spec.device, spec.precision)
    meter = MemoryMeter(place.device)
    try:
        with together(ctx, spec, place.device):
            return train_in_attempts(ctx, spec, place, meter)
    except StopWanted:
        return {"steps": 0, "adapter": None}
    except RuntimeError as e:
        if (lost := card_lost(e, spec.device)) is None:
            raise
        raise lost from e

"""The training job: what `run_worker` calls."""

from __future__ import annotations

from typing import Any

from core.config.train import TrainSpec
from workers.harness.context import WorkerContext
from workers.train.device import MemoryMeter, choose_place, out_of_memory, show_only
from workers.train.interrupts import StopWanted
from workers.train.parallel.seat import Seat


def train(ctx: WorkerContext) -> dict[str, Any]:
    """Train the run in `ctx` and return its facts for `run.finished`.

    Raises:
        AppError: whatever made it fail, with a code.
    """
    spec = TrainSpec.parse(ctx.spec)
    ctx.reporter.phase("starting")
    seat = Seat.taken()
    show_only(seat.device(spec.device) if seat else spec.device)
    # torch and transformers take seconds to import: run.started and the phase are said before.
    from workers.train.parallel.meeting import together
    from workers.train.prepare import prepare
    from workers.train.trainer import Trainer

    place = choose_place(spec.device, spec.precision)
    meter = MemoryMeter(place.device)
    try:
        with together(ctx, spec, place.device):
            parts = prepare(ctx, spec, place, meter)
            ctx.team.begin()
            return Trainer(ctx, parts).run()
    except StopWanted:
        return {"steps": 0, "adapter": None}
    except (MemoryError, RuntimeError) as e:
        error = out_of_memory(e, meter)
        if error is None:
            raise
        raise error from e

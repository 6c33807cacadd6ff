"""The preview job: what `run_worker` calls."""

from __future__ import annotations

from typing import Any

from core.config.preview import PreviewSpec
from core.runlog.preview import write_preview
from workers.harness.context import WorkerContext
from workers.train.interrupts import StopWanted


def preview(ctx: WorkerContext) -> dict[str, Any]:
    """Write `preview.json` into the run folder.

    Raises:
        AppError: `model.*`, `data.*`, `input.bad_value` for a sample number that is none.
    """
    spec = PreviewSpec.parse(ctx.spec)
    ctx.reporter.phase("starting")
    # transformers takes seconds to import: run.started and the phase are said before.
    from workers.preview.look import look

    try:
        found = look(ctx, spec)
    except StopWanted:
        return {}
    write_preview(ctx.run.path, found)
    return {"samples": found.sample_count}

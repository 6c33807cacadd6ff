"""The export job: what `run_worker` calls."""

from __future__ import annotations

from typing import Any

from core.config.export import ExportSpec
from workers.harness.context import WorkerContext
from workers.train.device import show_only
from workers.train.interrupts import StopWanted


def export(ctx: WorkerContext) -> dict[str, Any]:
    """Export what the run in `ctx` names and return the facts for `run.finished`.

    Raises:
        AppError: `model.*`, `adapter.*`, `export.*`, `disk.full`; nothing is left behind then.
    """
    spec = ExportSpec.parse(ctx.spec)
    ctx.reporter.phase("starting")
    show_only(spec.device)
    # torch and transformers take seconds to import: run.started and the phase are said before.
    from workers.export.exporter import Exporter

    try:
        return Exporter(ctx, spec).run()
    except StopWanted:
        return {"path": None}

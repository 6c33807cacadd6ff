"""What the command line says of memory: the forecast, the try-out, and what to do without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.commands.output import Output, text
from app.text import duration_text
from app.texts.memory import memory_finding_text, rung_text, verdict_text
from core.protocol.events import DryRunDone, MemoryRanOut
from core.services.train import TrainPlanPreview


def tell_forecast(plan: TrainPlanPreview, out: Output) -> None:
    """Whether it fits, and what would help when it does not."""
    if plan.memory is None or plan.verdict is None or out.as_json:
        return
    out.line(verdict_text(plan.verdict, out.language))
    if plan.verdict.fit != "fits" and plan.measures:
        out.say("would_help")
        for rung in plan.measures:
            _tell_rung(rung.code, rung.saves_gib, out)


def tell_dry_run(event: DryRunDone, out: Output) -> None:
    """One line, and each problem."""
    out.say("dry_run", total=duration_text(event.total_time_s), **event.model_dump())
    for problem in event.problems:
        out.line(f"! {memory_finding_text(problem, out.language)}")


def tell_ran_out(event: MemoryRanOut, run_id: str, out: Output) -> None:
    """Why, and what the run goes on with or what a person can do."""
    out.say("ran_out", **event.model_dump())
    for finding in event.findings:
        out.line(f"  {memory_finding_text(finding, out.language)}")
    if event.applied:
        out.say("went_on_with", measure=rung_text(event.applied, out.language).name)
        return
    out.say("would_help")
    for rung in event.ladder:
        _tell_rung(rung.code, rung.saves_gib, out)
    first = next((r for r in event.ladder if r.changes), None)
    if first is not None:
        out.say("apply_by", run_id=run_id, assignments=" ".join(assignments(first.changes)))


def assignments(changes: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Changes of a spec as `--set` takes them: lora.dtype=bf16."""
    for key, value in changes.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping):
            yield from assignments(value, f"{name}.")
        else:
            yield f"{name}={str(value).lower() if isinstance(value, bool) else value}"


def _tell_rung(code: str, saves_gib: float, out: Output) -> None:
    saves = f" ({text('rung', out.language, gib=saves_gib)})" if saves_gib >= 0.005 else ""
    out.line(f"  - {rung_text(code, out.language).name}{saves}")

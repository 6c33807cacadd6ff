"""`deepdeck runs`: everything that can be done with a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.commands import exports, live
from app.commands.follow import Interrupts, follow
from app.commands.output import Output, text
from app.commands.serve import serve_and_stay
from app.commands.train import assign, finished, start_and_follow
from app.messages import alarm_text, error_text, job_text, phase_text, status_text
from app.text import time_text
from core.config.train import TrainSpec
from core.runlog.index import RunSummary
from core.services import Services
from core.supervisor import RunView

Action = Callable[[argparse.Namespace, Services, Output], int]


def runs(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Dispatch to the action; `list` without one."""
    actions: dict[str | None, Action] = {
        None: _list, "list": _list, "show": _show, "stop": _stop, "resume": _resume,
        "export": _export, "report": _report, "delete": _delete,
        **dict.fromkeys(live.ACTIONS, live.tell),
        "merge": exports.merge, "adapter": exports.adapter, "capsule": exports.capsule,
    }  # fmt: skip
    return actions[args.action](args, services, out)


def _list(_args: argparse.Namespace, services: Services, out: Output) -> int:
    found = services.runs.list()
    for summary in found:
        out.object("run", **_fields(summary, out))
        out.line(_row(summary, out))
    if not found:
        out.say("no_runs")
    return 0


def _show(args: argparse.Namespace, services: Services, out: Output) -> int:
    view = services.runs.show(args.run_id)
    out.object("run", **_view_fields(view, out))
    if not out.as_json:
        _describe(view, out)
    return 0


def _stop(args: argparse.Namespace, services: Services, out: Output) -> int:
    view = services.supervisor.catch_up(args.run_id)
    if args.now:
        services.supervisor.kill(args.run_id)
    else:
        services.runs.stop(args.run_id, save=not args.no_save)
    with Interrupts() as interrupts:
        view = follow(services.supervisor, view, out, lambda _view: None, interrupts)
    finished(view, out)
    return 0 if view.status != "failed" else 1


def _resume(args: argparse.Namespace, services: Services, out: Output) -> int:
    job = services.runs.show(args.run_id).job
    go_on = serve_and_stay if job == "serve" else start_and_follow
    changes: dict[str, Any] = {}
    for assignment in args.set or ():
        assign(changes, assignment, TrainSpec)
    return go_on(lambda: services.runs.resume(args.run_id, changes), services, out, args.detach)


def _export(args: argparse.Namespace, services: Services, out: Output) -> int:
    folder = Path(args.to).expanduser().resolve() if args.to else None
    csv = services.runs.export_csv(args.run_id, folder)
    report = services.runs.report(args.run_id, out.language)
    out.object("exported", run_id=args.run_id, csv=csv, report=report)
    out.say("exported", path=csv)
    out.say("exported", path=report)
    return 0


def _report(args: argparse.Namespace, services: Services, out: Output) -> int:
    report = services.runs.report(args.run_id, out.language)
    out.object("exported", run_id=args.run_id, report=report)
    out.say("exported", path=report)
    return 0


def _delete(args: argparse.Namespace, services: Services, out: Output) -> int:
    services.runs.delete(args.run_id)
    out.object("deleted", run_id=args.run_id)
    out.say("deleted", run_id=args.run_id)
    return 0


def _fields(summary: RunSummary, out: Output) -> dict[str, Any]:
    fields = asdict(summary)
    fields["problem"] = out.error_fields(summary.problem)
    return fields


def _row(summary: RunSummary, out: Output) -> str:
    if summary.problem is not None:
        return f"{summary.run_id}  ! {error_text(summary.problem, out.language).message}"
    total = summary.total_steps or "?"
    step = f"{summary.step}/{total}" if summary.job == "train" else ""
    loss = "" if summary.last_loss is None else f"{summary.last_loss:.4f}"
    made = time_text(summary.created_utc)
    status = status_text(summary.status, out.language)
    return f"{summary.run_id:<48} {made}  {status:<10} {step:>11}  {loss:>8}  {summary.name}"


def _view_fields(view: RunView, out: Output) -> dict[str, Any]:
    state = view.state
    adapter = view.run.adapter if view.run.adapter.is_dir() else None
    return {
        "run_id": view.run_id,
        "job": view.job,
        "name": view.document.get("name", ""),
        "path": view.run.path,
        "spec": view.document.get("spec", {}),
        "created_utc": view.document.get("created_utc"),
        "status": view.status,
        "alive": view.alive,
        "pid": view.pid,
        "heartbeat_age_s": view.heartbeat_age_s,
        "phase": state.phase,
        "step": state.steps_done,
        "total_steps": state.plan.total_steps if state.plan else None,
        "last_loss": state.step.loss if state.step else None,
        "evals": [e.model_dump(include={"step", "split", "loss", "samples"}) for e in state.evals],
        "checkpoints": [c.step for c in state.checkpoints],
        "alarms": [a.model_dump(include={"alarm", "severity", "step"}) for a in state.alarms],
        "adapter": adapter,
        "url": state.ready.url if state.ready and view.alive else None,
        "resumed_from_step": state.resumed_from_step,
        "bad_lines": view.bad_lines,
        "reason": view.verdict.reason if view.verdict else state.reason,
        "error": out.error_fields(view.error),
        "problem": out.error_fields(view.problem),
    }


def _describe(view: RunView, out: Output) -> None:
    state, language = view.state, out.language
    words = [view.run_id, job_text(view.job, language), status_text(view.status, language)]
    out.line("  ".join(words))
    out.line(f"  {view.document.get('name', '')}  {view.run.path}")
    if view.alive:
        out.line(f"  pid {view.pid}  {phase_text(state.phase, language)}")
    if state.plan is not None:
        out.line("  " + _text_steps(view, out))
    if state.ready is not None and view.alive:
        out.line(f"  {state.ready.url}")
    for event in state.evals[-4:]:
        out.say("eval", step=event.step, split=event.split, loss=event.loss)
    for alarm in state.alarms[-10:]:
        found = alarm_text(alarm, language)
        out.line(f"  ! {found.title}: {found.message}")
    if view.finished:
        finished(view, out)


def _text_steps(view: RunView, out: Output) -> str:
    total = view.state.plan.total_steps if view.state.plan else 0
    steps = text("steps_of", out.language, step=view.state.steps_done, total=total)
    return steps if view.state.step is None else f"{steps}  loss {view.state.step.loss:.4f}"

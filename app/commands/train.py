"""`deepdeck train`: start a training run and stream it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_origin

from app.commands.exports import opened_capsule
from app.commands.follow import Interrupts, follow
from app.commands.output import Output
from app.commands.serve_room import make_room_for_training
from app.commands.train_memory import tell_dry_run, tell_forecast, tell_ran_out
from app.messages import alarm_text, phase_text, reason_text, split_text, status_text
from core import atomic_io
from core.config.base import Spec
from core.config.presets import merge
from core.config.train import TrainSpec, current_names
from core.errors import AppError, ErrorCode, UsageError
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    DownloadProgress,
    DryRunDone,
    EvalDone,
    Event,
    MemoryRanOut,
    PhaseChanged,
    TrainPlanned,
    TrainStep,
)
from core.services import Services
from core.supervisor import RunView

_LINE_EVERY_S = 1.0
_MIB = 1024**2


def train(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Exit code 0 when the run completed or was stopped, 1 when it failed."""
    spec = train_spec(args, services, out)
    if args.queue:
        from app.commands.queue import tell_added

        tell_added(services.queue.add(spec), out)
        return 0
    plan = services.train.prepare(spec)  # may take a while: Ctrl-C still ends the program here
    tell_forecast(plan, out)
    make_room_for_training(plan, args.if_busy, services, out)
    return start_and_follow(lambda: services.train.start(spec, plan), services, out, args.detach)


def start_and_follow(
    start: Callable[[], RunView], services: Services, out: Output, detach: bool
) -> int:
    """Start a run and stream it, or leave it running."""
    with Interrupts() as interrupts:
        return _started(start(), services, out, interrupts, detach)


def _started(
    view: RunView, services: Services, out: Output, interrupts: Interrupts, detach: bool
) -> int:
    out.object("started", run_id=view.run_id, pid=view.pid, path=view.run.path)
    out.say("started", run_id=view.run_id)
    if detach:
        return 0
    view = follow(services.supervisor, view, out, Teller(out), interrupts)
    return finished(view, out)


def finished(view: RunView, out: Output) -> int:
    """The last object, or the last sentences; and the exit code of the outcome."""
    adapter = view.run.adapter if view.run.adapter.is_dir() else None
    reason = view.verdict.reason if view.verdict else view.state.reason
    out.object(
        "finished",
        run_id=view.run_id,
        outcome=view.status,
        reason=reason,
        adapter=adapter,
        result=view.state.result,
        error=out.error_fields(view.error),
        verdict=view.verdict.detail if view.verdict else None,
    )
    status, why = status_text(view.status, out.language), reason_text(reason, out.language)
    out.say("outcome", run_id=view.run_id, status=status, reason=why)
    if view.error is not None and not out.as_json:
        out.error(view.error)
    if view.verdict is not None and view.verdict.log_tail:
        out.say("log_tail")
        out.line(view.verdict.log_tail)
    if adapter is not None and view.job == "train":
        out.say("adapter_at", path=adapter)
        model = view.document.get("model") or view.document.get("spec", {}).get("model", "")
        out.say("serve_hint", model=model, run_id=view.run_id)
    if view.run.model.is_dir() and view.job == "train":  # every weight was trained
        out.say("model_at", path=view.run.model)
    return 0 if view.status in ("completed", "stopped") else 1


class Teller:
    """Tells a run's events: all of them to programs, the important ones to people."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._line_due = 0.0
        self._total = 0
        self._phase = ""

    def __call__(self, view: RunView) -> None:
        """Tell what is new."""
        for event in view.new_events:
            self._out.event(event)
            if not self._out.as_json:
                self._tell(event, view.run_id)

    def _tell(self, event: Event, run_id: str) -> None:
        out = self._out
        match event:
            case TrainPlanned():
                self._total = event.total_steps
                out.say("plan", **event.model_dump())
            case DryRunDone():
                tell_dry_run(event, out)
            case MemoryRanOut():
                tell_ran_out(event, run_id, out)
            case PhaseChanged():
                self._tell_phase(event)
            case TrainStep():
                if self._due() or event.step == self._total:
                    out.say("step", total=self._total, **event.model_dump())
            case EvalDone():
                split = split_text(event.split, out.language)
                out.say("eval", **{**event.model_dump(), "split": split})
            case CheckpointSaved():
                out.say("checkpoint", step=event.step)
            case AlarmRaised():
                alarm = alarm_text(event, out.language)
                out.line(f"! {alarm.title}: {alarm.message} {alarm.hint}".rstrip())
            case DownloadProgress():
                self._tell_download(event)

    def _tell_phase(self, event: PhaseChanged) -> None:
        """Each phase once; its fraction is for progress bars."""
        line = f"… {phase_text(event.phase, self._out.language)} {event.detail}".rstrip()
        if line != self._phase:
            self._phase = line
            self._out.line(line)

    def _tell_download(self, event: DownloadProgress) -> None:
        if self._due() or event.bytes_done == event.bytes_total:
            total = "?" if event.bytes_total is None else f"{event.bytes_total / _MIB:.1f}"
            done = f"{event.bytes_done / _MIB:.1f}"
            self._out.say("download", file=event.file, done=done, total=total)

    def _due(self) -> bool:
        now = time.monotonic()
        if now < self._line_due:
            return False
        self._line_due = now + _LINE_EVERY_S
        return True


def train_spec(
    args: argparse.Namespace, services: Services | None = None, out: Output | None = None
) -> TrainSpec:
    """The spec from capsule, file, options and `--set`, the later ones winning.

    Raises:
        UsageError: `input.bad_value`, `input.bad_usage` or `file.damaged`.
    """
    values: dict[str, Any] = {}
    if getattr(args, "capsule", None) and services and out:
        values = opened_capsule(args.capsule, services, out)
    if args.spec:
        values = merge(values, current_names(read_spec_file(args.spec)))
    options = {"model": args.model, "data": args.data, "max_steps": args.steps, "name": args.name}
    values |= {key: value for key, value in options.items() if value is not None}
    for assignment in args.set or ():
        assigned: dict[str, Any] = {}
        assign(assigned, assignment, TrainSpec)
        values = merge(values, current_names(assigned))
    for key in ("model", "data"):
        if not values.get(key):
            raise UsageError(ErrorCode.BAD_USAGE, detail=f"--{key}")
    return TrainSpec.parse(values)


def read_spec_file(path: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UsageError: it is not there or not a JSON object.
    """
    try:
        found = atomic_io.read_json(Path(path))
    except AppError as e:
        raise UsageError(e.code, detail=e.detail, **e.params) from e
    except OSError as e:
        raise UsageError(ErrorCode.BAD_VALUE, field="spec", value=path, detail=str(e)) from e
    if not isinstance(found, dict):
        raise UsageError(ErrorCode.BAD_VALUE, field="spec", value=path, detail="not an object")
    return found


def assign(values: dict[str, Any], assignment: str, spec: type[Spec]) -> None:
    """Put `lora.r=8` into nested `values`. Values are JSON where they look like it.

    Raises:
        UsageError: `input.bad_value` without a "=".
    """
    key, equals, raw = assignment.partition("=")
    if not equals or not key:
        raise UsageError(ErrorCode.BAD_VALUE, field="set", value=assignment, detail="key=value")
    *parents, last = key.strip().split(".")
    place: dict[str, Any] = values
    kind: Any = spec
    for parent in parents:
        place = place.setdefault(parent, {})
        kind = _field_type(kind, parent)
        if not isinstance(place, dict):
            raise UsageError(ErrorCode.BAD_VALUE, field=key, value=raw, detail="not a group")
    place[last] = _value(raw, _field_type(kind, last))


def _field_type(kind: Any, name: str) -> Any:
    fields = getattr(kind, "model_fields", {})
    return fields[name].annotation if name in fields else None


def _value(raw: str, kind: Any) -> Any:
    if kind is str:
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        pass
    if get_origin(kind) is tuple:
        return [part.strip() for part in raw.split(",") if part.strip()]
    return raw

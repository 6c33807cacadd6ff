"""`deepdeck runs merge|adapter|capsule`, and a capsule as the start of a training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.commands.follow import Interrupts, follow
from app.commands.output import Output, text
from app.messages import phase_text
from app.texts.train_notes import train_note_text
from core.config.export import ExportSpec
from core.services import Services
from core.supervisor import RunView


def merge(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Write a whole model with the adapter in its weights."""
    chosen = {"merge_into": args.into, "dtype": args.dtype}
    return _export(args, services, out, {"kind": "merged", **chosen})


def adapter(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Write the adapter with its tokenizer."""
    return _export(args, services, out, {"kind": "adapter"})


def capsule(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Write the capsule of a run."""
    from core.runlog.run_dir import RunDir
    from core.services.capsule import export_capsule

    target = Path(args.to).expanduser().resolve() if args.to else None
    path = export_capsule(RunDir.open(services.home.runs, args.run_id), target)
    out.object("exported", run_id=args.run_id, capsule=path)
    out.say("exported", path=path)
    return 0


def opened_capsule(path: str, services: Services, out: Output) -> dict[str, Any]:
    """The values of a capsule's spec; what is not the same here is told.

    Raises:
        UsageError: `capsule.damaged`.
    """
    from core.services.capsule import open_capsule

    opened = open_capsule(Path(path).expanduser(), services.models)
    found = [d.model_dump() for d in opened.differences]
    out.object("capsule", run_id=opened.run_id, name=opened.name, differences=found)
    for difference in opened.differences:
        out.say("capsule_differs", text=train_note_text(difference, out.language))
    return opened.spec.model_dump(mode="json")


def _export(
    args: argparse.Namespace, services: Services, out: Output, options: dict[str, Any]
) -> int:
    given = {"source": args.run_id, "to": args.to, "model": args.model, **options}
    spec = ExportSpec.parse({key: value for key, value in given.items() if value is not None})
    with Interrupts() as interrupts:
        view = services.export.start(spec)
        out.object("started", run_id=view.run_id, pid=view.pid, path=view.run.path)
        out.say("started", run_id=view.run_id)
        if args.detach:
            return 0
        view = follow(services.supervisor, view, out, _Teller(out), interrupts)
    return _finished(view, out)


class _Teller:
    """Tells events to programs, and each phase once to people."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._phase = ""

    def __call__(self, view: RunView) -> None:
        for event in view.new_events:
            self._out.event(event)
        phase = view.state.phase
        if phase and phase != self._phase:
            self._phase = phase
            self._out.line(f"… {phase_text(phase, self._out.language)}")


def _finished(view: RunView, out: Output) -> int:
    from app.commands.train import finished

    code = finished(view, out)
    result = view.state.result
    if result.get("path"):
        out.say("exported", path=result["path"])
        _tell_differences(result, out)
    return code


def _tell_differences(result: dict[str, Any], out: Output) -> None:
    for base in ("original", "dequantized"):
        kl, top1 = result.get(f"kl_{base}"), result.get(f"top1_{base}")
        if kl is None or top1 is None:
            continue
        name = text(f"base_{base}", out.language)
        out.say("merged_kl", base=name, kl=f"{kl:.2g}", top1=f"{top1 * 100:.1f}")

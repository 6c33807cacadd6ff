"""`deepdeck models`: the library."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from app.commands.output import Output, text
from app.commands.train import start_and_follow
from app.messages import error_text, source_text
from core.catalog import ModelInfo
from core.services import Services

_MIB = 1024**2


def models(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Dispatch to the action; `list` without one."""
    actions = {None: _list, "list": _list, "add": _add, "fetch": _fetch, "verify": _verify}
    return actions[args.action](args, services, out)


def _list(_args: argparse.Namespace, services: Services, out: Output) -> int:
    for model in services.models.list():
        out.object("model", **_fields(model))
        out.line(_row(model, out))
    return 0


def _add(args: argparse.Namespace, services: Services, out: Output) -> int:
    model = services.models.add(Path(args.path).expanduser().resolve(), args.name or "")
    out.object("model", **_fields(model))
    out.say("added", id=model.id)
    return 0


def _fetch(args: argparse.Namespace, services: Services, out: Output) -> int:
    fetch = partial(services.models.fetch, args.model)
    return start_and_follow(fetch, services, out, args.detach)


def _verify(args: argparse.Namespace, services: Services, out: Output) -> int:
    problems = services.models.verify(args.model)
    for problem in problems:
        out.error(problem)
    out.object("verified", model=args.model, whole=not problems, problems=len(problems))
    if not problems:
        out.say("whole", id=args.model)
    return 1 if problems else 0


def _fields(model: ModelInfo) -> dict[str, object]:
    fields: dict[str, object] = json.loads(model.model_dump_json())
    return {**fields, "fetched": model.fetched}


def _row(model: ModelInfo, out: Output) -> str:
    size = "" if model.size_bytes is None else f"{model.size_bytes / _MIB:,.0f} MiB"
    state = source_text(model.source, out.language)
    if model.problem is not None:
        state = f"! {error_text(model.problem, out.language).message}"
    elif not model.fetched:
        state = text("not_fetched", out.language)
    return f"{model.id:<28} {size:>12}  {model.architecture:<24} {state}"

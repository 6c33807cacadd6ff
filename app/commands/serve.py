"""`deepdeck serve`: a local API in the foreground."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from typing import Any

from app.commands.follow import Interrupts, follow
from app.commands.output import Output
from app.commands.serve_room import let_go_on, make_room
from app.commands.train import assign, finished, read_spec_file
from app.messages import Language, choice_reasons, phase_text
from app.texts.serving import engine_name
from core.config.serve import ServeSpec
from core.errors import ErrorCode, UsageError
from core.protocol.events import PhaseChanged
from core.runlog.run_dir import RunDir
from core.services import Services
from core.supervisor import RunView


def serve(args: argparse.Namespace, services: Services, out: Output) -> int:
    """Stays until SIGINT or SIGTERM, which drain; 0 then, 1 when the worker failed."""
    spec, paused = make_room(serve_spec(args, services), args.if_busy, services, out)
    try:
        return serve_and_stay(lambda: services.serve.start(spec), services, out, args.detach)
    finally:
        if args.detach:
            for holder in paused:
                out.say("card_paused_stays", name=holder.name, run_id=holder.run_id)
        else:
            let_go_on(paused, services)


def serve_and_stay(
    start: Callable[[], RunView], services: Services, out: Output, detach: bool
) -> int:
    """Start a server, say when it is ready, and stay until it ends."""
    with Interrupts(hang_up=True) as interrupts:
        return _serving(start(), services, out, interrupts, detach)


def _serving(
    view: RunView, services: Services, out: Output, interrupts: Interrupts, detach: bool
) -> int:
    announcer = _Announcer(services, out)
    if detach:
        out.object("started", run_id=view.run_id, pid=view.pid, path=view.run.path)
        out.say("started", run_id=view.run_id)
        return 0
    out.say("started", run_id=view.run_id)
    view = follow(services.supervisor, view, out, announcer, interrupts, stop_text="draining")
    if view.status in ("failed", "lost") and view.error is not None and out.as_json:
        out.error(view.error, run_id=view.run_id)
        return 1
    return finished(view, out)


class _Announcer:
    """Says once where the API is; phases only to people."""

    def __init__(self, services: Services, out: Output) -> None:
        self._services = services
        self._out = out
        self._announced = False
        self._phase = ""

    def __call__(self, view: RunView) -> None:
        for event in view.new_events:
            if isinstance(event, PhaseChanged) and not self._announced:
                self._say_phase(phase_line(event, self._out.language))
        if view.state.ready is not None and not view.finished and not self._announced:
            self._announced = True
            self._announce(view)

    def _say_phase(self, line: str) -> None:
        if line != self._phase:
            self._phase = line
            self._out.line(line)

    def _announce(self, view: RunView) -> None:
        ready = view.state.ready
        assert ready is not None
        key = self._services.serve.api_key()
        self._out.object(
            "ready",
            url=ready.url,
            api_key=key,
            run_id=view.run_id,
            pid=view.pid,
            model=ready.model_id,
            adapter=ready.adapter,
            engine=ready.engine,
            precision=ready.precision,
            engine_reason=ready.engine_reason,
            precision_reason=ready.precision_reason,
        )
        self._out.say("ready", url=ready.url)
        language = self._out.language
        how = f"{engine_name(ready.engine, language)} · {ready.device} · {ready.precision}"
        self._out.say("ready_how", how=how, reasons=choice_reasons(ready, language))
        self._out.say("key", api_key=key)
        self._out.say("curl", line=curl_line(ready.url, key, ready.model_id))


def phase_line(event: PhaseChanged, language: Language) -> str:
    """What a server is doing, with how far it is by quarters: a line each."""
    quarter = int((event.fraction or 0.0) * 4) * 25
    done = f"{quarter} %" if 0 < quarter < 100 else ""
    return " ".join(x for x in ("…", phase_text(event.phase, language), event.detail, done) if x)


def curl_line(url: str, key: str, model: str) -> str:
    """One line that asks the API a question."""
    question: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "What does os.path.join do?"}],
    }
    words = [
        "curl", f"{url}/v1/chat/completions",
        "-H", f"Authorization: Bearer {key}",
        "-H", "Content-Type: application/json",
        "-d", json.dumps(question),
    ]  # fmt: skip
    return shlex.join(words)


def serve_spec(args: argparse.Namespace, services: Services) -> ServeSpec:
    """The spec from file, options and `--set`, the later ones winning.

    Raises:
        UsageError: `input.*`; `--model` may be left out when `--adapter` names a training run.
    """
    values = read_spec_file(args.spec) if args.spec else {}
    for key in ("model", "adapter", "host", "port"):
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    for assignment in args.set or ():
        assign(values, assignment, ServeSpec)
    if not values.get("model") and values.get("adapter"):
        run = RunDir.open(services.home.runs, str(values["adapter"]))
        values["model"] = run.document().get("spec", {}).get("model", "")
    if not values.get("model"):
        raise UsageError(ErrorCode.BAD_USAGE, detail="--model")
    return ServeSpec.parse(values)

"""Local API servers as pages show them: the one in front, and all that can be talked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.bridge import Bridge
from core.catalog import ModelInfo
from core.errors import AppError
from core.metrics import RunSeries, Series
from core.protocol.codec import BadLine, decode_event
from core.protocol.events import CommandAcknowledged, Event, ServeStats
from core.runlog.index import RunSummary
from core.runlog.state import RunState
from core.services.train import model_reference
from core.supervisor import RunView

if TYPE_CHECKING:
    from core.services import Services
    from core.services.serve_control import ServeControl

ServerState = Literal[
    "none", "starting", "loading", "ready", "restarting", "stopping", "ended", "failed"
]
_BROKEN = frozenset({"crashed", "restarting", "given_up"})
"""States of the engine in which the API answers 503."""
_HISTORY_BYTES = 512 * 1024
_REQUEST_S = 5.0
QUESTION = "What does os.path.join do?"


class ServeSeries:
    """Curves of a server over seconds since its first figures."""

    def __init__(self) -> None:
        self.clock = RunSeries()
        """Gives the plots' axis its time."""
        self.qps = Series("/s")
        self.p50 = Series("ms")
        self.p99 = Series("ms")
        self.ttft = Series("ms")
        self.speed = Series("tok/s")
        self._start_utc: float | None = None

    def apply(self, events: Iterable[Event]) -> None:
        """Add the figures among `events`; whole seconds, one point each."""
        for event in events:
            if isinstance(event, ServeStats):
                self._add(event)

    def _add(self, stats: ServeStats) -> None:
        if self._start_utc is None:
            self._start_utc = stats.time_utc
        second = int(stats.time_utc - self._start_utc) + 1
        last = self.clock.elapsed_s.last
        if last is not None and second <= last[0]:
            return
        self.clock.elapsed_s.append(second, second)
        self.qps.append(second, stats.qps)
        self.speed.append(second, stats.tokens_per_second)
        times = (
            (self.p50, stats.latency_p50_ms),
            (self.p99, stats.latency_p99_ms),
            (self.ttft, stats.ttft_p50_ms),
        )
        for series, value in times:
            if value is not None and np.isfinite(value):
                series.append(second, value)


class ServeModel(QObject):
    """Follows one server at a time; `replaced` comes when the curves are other objects."""

    changed = Signal()
    replaced = Signal()
    answered = Signal(str, bool, str)
    """A command of this window: its kind, whether it was accepted, and what was said to it."""

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.view: RunView | None = None
        self.series = ServeSeries()
        self._asked: dict[str, str] = {}
        bridge.run_changed.connect(self._run_changed)

    @property
    def state(self) -> ServerState:
        """In one word what the server does."""
        view = self.view
        if view is None:
            return "none"
        if view.finished:
            return "failed" if view.status in ("failed", "lost") else "ended"
        if view.stopping or view.state.phase == "draining":
            return "stopping"
        if view.state.engine is not None and view.state.engine.state in _BROKEN:
            return "restarting"
        if view.state.ready is not None:
            return "ready"
        return "loading" if view.state.phase in ("loading_model", "warming_up") else "starting"

    @property
    def busy(self) -> bool:
        """There is a process that can be stopped."""
        return self.view is not None and not self.view.finished

    def follow(self, view: RunView) -> None:
        """Show this server from now on, its past figures included."""
        self.series = ServeSeries()
        self.series.apply(past_events(view.run.events))
        self.view = view
        self._asked = {}
        self.replaced.emit()
        self.changed.emit()

    def attach(self, run_id: str) -> None:
        """Show a server by its run.

        Raises:
            AppError: `run.not_found`, `file.damaged`.
        """
        self.follow(self._services.supervisor.attach(run_id))

    def leave(self) -> None:
        """Show none."""
        self.view = None
        self.changed.emit()

    def stop(self) -> None:
        """Let open requests finish, then end; asked again, it is hurried. Raises AppError."""
        if self.view is not None and not self.view.finished:
            self._services.supervisor.stop(self.view.run_id)
            self.view = self._services.supervisor.view(self.view.run_id)
            self.changed.emit()

    # what is asked of it; all raise AppError

    def cancel(self, request_id: str) -> None:
        """End one open request."""
        self._ask("cancel_request", lambda run_id: self._control.cancel(run_id, request_id))

    def self_test(self, seconds: float, prompt_tokens: int, answer_tokens: int) -> None:
        """Let it measure what it can hold."""

        def ask(run_id: str) -> str:
            return self._control.self_test(
                run_id, seconds=seconds, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens
            )

        self._ask("self_test", ask)

    def load_adapter(self, adapter: str) -> None:
        """A folder, or the id of a training run."""
        self._ask("adapter", lambda run_id: self._control.load_adapter(run_id, adapter))

    def unload_adapter(self, name: str) -> None:
        """By its public name."""
        self._ask("adapter", lambda run_id: self._control.unload_adapter(run_id, name))

    def set_default(self, name: str) -> None:
        """By its public name, or the base's."""
        self._ask("adapter", lambda run_id: self._control.set_default(run_id, name))

    def waits_for(self, kind: str) -> bool:
        """A command of this kind has no answer yet."""
        return kind in self._asked.values()

    @property
    def _control(self) -> ServeControl:
        return self._services.server

    def _ask(self, kind: str, send: Callable[[str], str]) -> None:
        if self.view is not None:
            self._asked[send(self.view.run_id)] = kind
            self.changed.emit()

    def _run_changed(self, view: RunView) -> None:
        if self.view is None or view.run_id != self.view.run_id:
            return
        self.view = view
        self.series.apply(view.new_events)
        answers = [e for e in view.new_events if isinstance(e, CommandAcknowledged)]
        if view.finished:
            self._asked.clear()
        for answer in answers:
            if kind := self._asked.pop(answer.in_reply_to or "", ""):
                self.answered.emit(kind, answer.accepted, answer.detail)
        self.changed.emit()


class Servers(QObject):
    """All servers that are ready, newest first."""

    changed = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._ready: dict[str, RunView] = {}
        bridge.run_changed.connect(self._run_changed)

    def refresh(self) -> None:
        """Look for servers that other windows or scripts started."""
        for summary in self._services.runs.list():
            if summary.job == "serve" and summary.alive:
                try:
                    self._run_changed(self._services.supervisor.attach(summary.run_id))
                except AppError:
                    continue  # gone or unreadable: not a server to talk to

    @property
    def ready(self) -> list[RunView]:
        """Those that answer."""
        return sorted(self._ready.values(), key=lambda v: v.run_id, reverse=True)

    def _run_changed(self, view: RunView) -> None:
        if view.job != "serve":
            return
        answers = view.state.ready is not None and not view.finished and not view.stopping
        known = view.run_id in self._ready
        if answers:
            self._ready[view.run_id] = view
        elif known:
            del self._ready[view.run_id]
        if answers != known:
            self.changed.emit()


def past_events(path: Path) -> list[Event]:
    """The last part of an event file: enough for the curves, quick for any size."""
    try:
        with path.open("rb") as f:
            size = f.seek(0, 2)
            f.seek(max(0, size - _HISTORY_BYTES))
            lines = f.read().splitlines()
    except OSError:
        return []
    found: list[Event] = []
    for line in lines:
        if b'"serve.stats"' not in line:
            continue
        try:
            found.append(decode_event(line))
        except BadLine:
            continue
    return found


def adapters_of(model: ModelInfo, runs: Iterable[RunSummary]) -> list[RunSummary]:
    """Training runs on this model that left an adapter, newest first."""
    reference = model_reference(model) if model.path else ""
    wanted = {model.id, model.name, reference, Path(reference).name} - {""}
    return [r for r in runs if r.job == "train" and r.adapter and r.model in wanted]


def not_loaded(
    runs: Iterable[RunSummary], spec: dict[str, Any], state: RunState
) -> list[RunSummary]:
    """Those of `runs` whose adapter a server does not have now."""
    given = [str(spec.get("adapter") or ""), *map(str, spec.get("adapters") or ())]
    folders = given if state.adapter_folders is None else state.adapter_folders.values()
    loaded = {part for folder in folders for part in Path(folder).parts}
    return [r for r in runs if r.run_id not in loaded]


def find_model(models: Iterable[ModelInfo], wanted: str) -> ModelInfo | None:
    """The model that an id, a folder or a file means."""
    for model in models:
        paths = (str(model.path), model_reference(model)) if model.path else ()
        if wanted == model.id or wanted in paths:
            return model
    return None


async def remembered_request(url: str, key: str, request_id: str) -> dict[str, Any]:
    """A request with its messages, as long as the server remembers it.

    Raises:
        ApiFailed: it does not, or does not answer.
    """
    import httpx

    from app.viewmodels.chat import ApiFailed

    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with httpx.AsyncClient(timeout=_REQUEST_S, trust_env=False) as client:
            path = f"{url}/v1/deepdeck/requests/{quote(request_id, safe='')}"
            response = await client.get(path, headers=headers)
            response.raise_for_status()
            found = response.json()
    except (httpx.HTTPError, ValueError) as e:
        raise ApiFailed(str(e) or type(e).__name__) from e
    return found if isinstance(found, dict) else {}


def conversation_of(remembered: dict[str, Any]) -> list[dict[str, str]]:
    """The messages of a remembered request and its first answer, as the chat shows them.

    A completion's prompt stands as one question; other parts than text are left out.
    """
    body = remembered.get("request")
    asked = body if isinstance(body, dict) else {}
    found = [
        {"role": str(m.get("role") or "user"), "content": _text_of(m.get("content"))}
        for m in asked.get("messages") or ()
        if isinstance(m, dict)
    ]
    if not found and (prompt := _text_of(asked.get("prompt") or asked.get("input"))):
        found = [{"role": "user", "content": prompt}]
    answers = [a for a in remembered.get("answers") or () if isinstance(a, dict)]
    if found and answers:
        found.append({"role": "assistant", **{str(k): str(v) for k, v in answers[0].items()}})
    return found


def _text_of(content: object) -> str:
    """The text of a message: a string, or a list whose text parts count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (p.get("text") if isinstance(p, dict) else p for p in content)
    return "".join(p for p in parts if isinstance(p, str))

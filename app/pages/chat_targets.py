"""Who can be asked: every model and adapter of every server that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Signal

from app import aio
from app.pages.base import AppContext
from app.viewmodels.chat_client import ApiFailed, Target, model_names
from app.viewmodels.serve import Servers
from core.chats import thinking_switch
from core.protocol.events import ServeAdapters
from core.supervisor import RunView


class ChatTargets(QObject):
    """`all` is known at once from what servers said at their start, then asked from each."""

    changed = Signal()

    def __init__(self, ctx: AppContext, servers: Servers, parent: QObject) -> None:
        super().__init__(parent)
        self._ctx, self._servers = ctx, servers
        self._names: dict[str, list[str]] = {}
        self._switches: dict[str, str | None] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        servers.changed.connect(self.refresh)
        ctx.bridge.run_changed.connect(self._run_changed)

    @property
    def all(self) -> list[Target]:
        """Newest server first, its default model first."""
        key = self._ctx.services.serve.api_key() if self._servers.ready else ""
        found = []
        for view in self._servers.ready:
            ready = view.state.ready
            if ready is None:
                continue
            names = self._names.get(view.run_id) or [ready.model_id]
            switch = self._switches.get(view.run_id)
            found += [Target(ready.url, key, n, view.run_id, switch) for n in names]
        return found

    def still(self, chosen: tuple[Target, ...]) -> tuple[Target, ...]:
        """Those that answer still, or again: a server that starts anew has another run."""
        found = []
        for target in chosen:
            same = [t for t in self.all if t.model == target.model]
            exact = [t for t in same if t.run_id == target.run_id]
            found += (exact or same)[:1]
        return tuple(dict.fromkeys(found)) if len(found) == len(chosen) else tuple(found[:1])

    def wanted(self, is_wanted: Callable[[Target], bool]) -> tuple[Target, ...]:
        """The first that suits."""
        return tuple([t for t in self.all if is_wanted(t)][:1])

    def adapter_parts(self, target: Target) -> set[str]:
        """Folders in the paths of a server's adapters: a run's id is one of them."""
        for view in self._servers.ready:
            if view.run_id == target.run_id:
                spec = view.document.get("spec") or {}
                paths = [spec.get("adapter") or "", *(spec.get("adapters") or ())]
                return {part for p in paths for part in Path(str(p)).parts}
        return set()

    def refresh(self) -> None:
        """Ask every server for its names."""
        alive = {v.run_id for v in self._servers.ready}
        self._names = {k: v for k, v in self._names.items() if k in alive}
        for view in self._servers.ready:
            self._ask(view)
        self.changed.emit()

    def _run_changed(self, view: RunView) -> None:
        if view.job == "serve" and any(isinstance(e, ServeAdapters) for e in view.new_events):
            self._ask(view)

    def _ask(self, view: RunView) -> None:
        ready = view.state.ready
        if ready is None or view.finished:
            return
        if view.run_id not in self._switches:
            self._read_switch(view)
        if (running := self._asking.pop(view.run_id, None)) is not None:
            running.cancel()
        key = self._ctx.services.serve.api_key()
        target = Target(ready.url, key, ready.model_id, view.run_id)
        self._asking[view.run_id] = aio.spawn(self._name_models(target))

    async def _name_models(self, target: Target) -> None:
        try:
            names = await model_names(target)
        except ApiFailed:
            return  # the name that the server said at its start stays; a question will tell why
        if not shiboken6.isValid(self):
            return
        if names and names != self._names.get(target.run_id):
            self._names[target.run_id] = names
            self.changed.emit()

    def _read_switch(self, view: RunView) -> None:
        """Off the UI thread: the template is in the model's folder."""
        run_id = view.run_id
        self._switches[run_id] = None
        spec = view.document.get("spec") or {}
        path = str(view.document.get("model_path") or spec.get("model") or "")

        def work() -> str | None:
            found = Path(path)
            if not found.is_absolute():
                found = self._ctx.services.models.resolve(path).path or found
            return thinking_switch(found)

        def known(switch: str | None) -> None:
            self._switches[run_id] = switch
            if switch:
                self.changed.emit()

        self._ctx.background.run(self, work, known, lambda _: None)

"""The muted line under the title of a server."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app.i18n import LanguageManager
from app.texts.serving import engine_name
from core.supervisor import RunView


class ServerFacts(QObject):
    """A QObject for its `tr`."""

    def facts(self, view: RunView) -> list[str]:
        """What it serves, how, and where."""
        ready = view.state.ready
        if ready is None:
            return [str(view.document.get("name") or "")]
        return [
            view.state.default_model or ready.model_id,
            f"{ready.url}/v1",
            f"{ready.device} {ready.precision or ready.dtype}",
            engine_name(ready.engine, LanguageManager.current().language),
            self.tr("{n} tokens of context").format(n=f"{ready.max_context_tokens:,}"),
        ]

"""What a server is doing while it does not simply answer: starting, coming back, finishing."""

from __future__ import annotations

import time

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QWidget

from app import messages
from app.i18n import LanguageManager
from app.text import duration_text, percent_text
from app.viewmodels.serve import ServeModel
from app.widgets.notice_card import NoticeCard
from app.widgets.progress import Progress
from core.protocol.events import ServeEngine
from core.supervisor import RunView

_TICK_MS = 250
_LIVELY = ("starting", "loading", "restarting", "stopping")


class ServerBanner(NoticeCard):
    """Hidden while the server answers. Counts down between two looks at the run."""

    def __init__(self, model: ServeModel, parent: QWidget | None = None) -> None:
        super().__init__("accent", parent)
        self._model = model
        self._stopping_since: float | None = None
        self.bar = Progress()
        self.body.insertWidget(self.body.count() - 1, self.bar)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self.refresh)
        self.setVisible(False)

    def refresh(self) -> None:
        """Show the newest state."""
        view, state = self._model.view, self._model.state
        shown = view is not None and state in _LIVELY
        self.setVisible(shown)
        if state != "stopping":
            self._stopping_since = None
        if not shown or view is None:
            self._timer.stop()
            return
        if not self._timer.isActive():
            self._timer.start()
        if state == "restarting":
            self._show_restart(view)
        elif state == "stopping":
            self._show_stop(view)
        else:
            self._show_loading(view)

    def _show_loading(self, view: RunView) -> None:
        self.set_tone("accent")
        found = view.state
        texts = {
            "loading_model": self.tr("Loading {name}").format(
                name=found.phase_detail or str(view.document.get("name") or "")
            ),
            "warming_up": self.tr("Warming up"),
            "probing": self.tr("Asking it a first question"),
            "starting": self.tr("Starting the process"),
        }
        language = LanguageManager.current().language
        said = texts.get(found.phase) or messages.phase_text(found.phase, language)
        # At zero the engine's process only begins, for seconds: then the bar moves by itself.
        fraction = found.phase_fraction or None
        percent = "" if fraction is None else f"  {percent_text(fraction)}"
        self.set_texts(
            (said or texts["starting"]) + percent,
            self.tr("It is ready once it has answered a question of its own."),
        )
        self.bar.setAccessibleName(said)
        self.bar.set_fraction(fraction)
        self.bar.setVisible(True)

    def _show_restart(self, view: RunView) -> None:
        engine = view.state.engine
        assert engine is not None
        given_up = engine.state == "given_up"
        self.set_tone("error" if given_up else "warning")
        heading = (
            self.tr("The engine could not be brought back")
            if given_up
            else self.tr("The engine stopped; it is being started again")
        )
        told = self.tr("Open requests were told; new ones get 503 with Retry-After meanwhile.")
        language = LanguageManager.current().language
        reason = ""
        if engine.reason:
            reason = self.tr("What it said: {reason}").format(reason=engine.reason)
        hint = messages.sentences_text((self._attempt(view, engine), told), language)
        self.set_texts(heading, reason, hint)
        self.bar.setVisible(not given_up)
        self.bar.set_fraction(_share_waited(engine))

    def _attempt(self, view: RunView, engine: ServeEngine) -> str:
        most = (view.document.get("spec") or {}).get("max_restarts")
        if engine.state == "given_up":
            return self.tr(
                "It was tried {n} times. Stop, change the settings, start again."
            ).format(n=engine.attempt)
        left = _left_s(engine)
        said = self.tr("Attempt {n} of {most}.").format(n=max(1, engine.attempt), most=most or "∞")
        if left > 0:
            wait = self.tr("Next try in {time}.").format(time=duration_text(left))
            return messages.sentences_text((said, wait), LanguageManager.current().language)
        return said

    def _show_stop(self, view: RunView) -> None:
        self.set_tone("warning")
        self._stopping_since = self._stopping_since or time.monotonic()
        limit = float((view.document.get("spec") or {}).get("drain_s") or 0.0)
        spent = time.monotonic() - self._stopping_since
        open_now = view.state.stats.running + view.state.stats.queued if view.state.stats else 0
        heading = self.tr("Finishing open requests, then it ends")
        text = self.tr("{n} still open; {time} left for them. New ones are refused.").format(
            n=open_now, time=duration_text(max(0.0, limit - spent))
        )
        self.set_texts(heading, text)
        self.bar.setVisible(True)
        self.bar.set_fraction(min(1.0, spent / limit) if limit else None)

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.refresh()
        super().changeEvent(event)


def _left_s(engine: ServeEngine) -> float:
    """Until the next try; by the clock on the wall, which worker and window share."""
    return max(0.0, engine.time_utc + engine.retry_in_s - time.time())


def _share_waited(engine: ServeEngine) -> float | None:
    left = _left_s(engine)
    return 1 - left / engine.retry_in_s if engine.retry_in_s > 0 and left > 0 else None

"""Says at the top of the window when a run ends or raises an alarm, on whatever page one is."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject

from app import messages
from app.bridge import Bridge
from app.i18n import LanguageManager
from app.pages.base import Navigate, Notify
from app.settings_store import SettingsStore
from app.theme.tokens import Tone
from core.protocol.events import AlarmRaised
from core.runlog.index import HIDDEN_JOBS
from core.supervisor import RunView

_TONES: dict[str, Tone] = {
    "completed": "ok",
    "stopped": "neutral",
    "failed": "error",
    "lost": "error",
}
_PAGES = {"train": "train", "serve": "deploy", "fetch": "models"}


class Announcer(QObject):
    """Listens to the bridge. Only what happened while the window is open is news."""

    def __init__(
        self,
        bridge: Bridge,
        settings: SettingsStore,
        notify: Notify,
        navigate: Navigate,
        shown_run_id: Callable[[], str],
        parent: QObject | None = None,
        *,
        desktop: Callable[[str, str], object] | None = None,
    ) -> None:
        """`desktop` says a title and a text outside of the window, when nobody looks at it."""
        super().__init__(parent)
        self._desktop = desktop
        self._since_utc = time.time()
        self._shown_run_id = shown_run_id
        self._settings = settings
        self._notify = notify
        self._navigate = navigate
        self._seen_alive: set[str] = set()
        bridge.run_changed.connect(self.run_changed)

    def run_changed(self, view: RunView) -> None:
        """One run at one tick."""
        if view.job in HIDDEN_JOBS:
            return
        if view.alive:
            self._seen_alive.add(view.run_id)
        if not self._settings.value.notify or view.run_id not in self._seen_alive:
            return
        for event in view.new_events:
            fresh = event.time_utc >= self._since_utc  # not what a run did before we came
            if isinstance(event, AlarmRaised) and fresh and _is_news(event):
                self._say_alarm(view, event)
        if view.finished:
            self._seen_alive.discard(view.run_id)
            self._say_end(view)

    def _say_alarm(self, view: RunView, alarm: AlarmRaised) -> None:
        text = messages.alarm_text(alarm, LanguageManager.current().language)
        words = self.tr("{run}: {alarm}").format(run=_name(view), alarm=text.title)
        if view.run_id != self._shown_run_id():  # its page shows the alarm already
            tone: Tone = "error" if alarm.severity == "error" else "warning"
            self._notify(words, tone, action=self.tr("Show"), on_action=self._opener(view))
        self._say_outside(words, text.message)

    def _say_outside(self, title: str, text: str) -> None:
        if self._desktop is not None:
            self._desktop(title, text)

    def _say_end(self, view: RunView) -> None:
        language = LanguageManager.current().language
        job = messages.job_text(view.job, language)
        status = messages.status_text(view.status, language)
        words = self.tr("{job} “{run}”: {status}").format(job=job, run=_name(view), status=status)
        if view.run_id != self._shown_run_id():  # its page says it already, and in full
            tone = _TONES.get(view.status, "neutral")
            self._notify(words, tone, action=self.tr("Show"), on_action=self._opener(view))
        self._say_outside(words, "")

    def _opener(self, view: RunView) -> _Open:
        return _Open(self._navigate, _PAGES.get(view.job, "runs"), view.run_id)


class _Open:
    """Opens a run's page; holds no view, so that a notice keeps no curves alive."""

    def __init__(self, navigate: Navigate, page_id: str, run_id: str) -> None:
        self._navigate, self._page_id, self._run_id = navigate, page_id, run_id

    def __call__(self) -> None:
        self._navigate(self._page_id, run_id=self._run_id)


def _is_news(alarm: AlarmRaised) -> bool:
    """Grave enough, and more than a mark on the plots to the guard."""
    if alarm.severity == "note":
        return False
    if alarm.action:  # the guard weighed it against what the user chose
        return alarm.action != "mark"
    return alarm.severity == "error"


def _name(view: RunView) -> str:
    return str(view.document.get("name") or "") or view.run_id

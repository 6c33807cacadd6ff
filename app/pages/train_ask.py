"""The card at the top while the guard has paused a run: it asks, and every answer is a button."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.train_alarm_texts import ICONS, AlarmWords
from app.pages.train_finding_words import finding_text
from app.viewmodels.train_alarms import Remedy, asking_alarm
from app.widgets.buttons import Button
from app.widgets.notice_card import NoticeCard
from core.protocol.events import AlarmRaised
from core.supervisor import RunView

_ANSWERS: tuple[Remedy, ...] = ("roll_back", "lower_rate", "continue", "stop")


class AskCard(NoticeCard):
    """Hidden while nothing is asked."""

    remedy_chosen = Signal(str)
    opened = Signal(int)
    """Show the alarm with this place in the run, with its batch."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("warning", parent)
        self._words = AlarmWords(self)
        self._alarm: AlarmRaised | None = None
        self._index = 0
        self.see_button = Button(icon_name="magnify")
        self.see_button.clicked.connect(self._open)
        self.add_button(self.see_button)
        self.answers: dict[Remedy, Button] = {}
        for remedy in _ANSWERS:
            button = Button(
                kind="danger" if remedy == "stop" else "secondary", icon_name=ICONS[remedy]
            )
            button.clicked.connect(partial(self.remedy_chosen.emit, remedy))
            self.answers[remedy] = button
            self.add_button(button)
        self.setVisible(False)

    @property
    def asks(self) -> bool:
        """It waits for an answer."""
        return self._alarm is not None

    def show_run(self, view: RunView, *, waiting: bool) -> None:
        """Ask, or stop asking."""
        self._alarm = asking_alarm(view)
        self.setVisible(self.asks)
        if self._alarm is None:
            return
        self._index = len(view.state.alarms) - 1 - view.state.alarms[::-1].index(self._alarm)
        for button in self.answers.values():
            button.setEnabled(not waiting)
        self.answers["roll_back"].setVisible(self._alarm.can_go_back_to is not None)
        self.retranslate()

    def retranslate(self) -> None:
        """All words in the language that is on."""
        self.see_button.set_text(self.tr("See why, and the batch"))
        for remedy, button in self.answers.items():
            to_step = self._alarm.can_go_back_to if self._alarm else None
            button.set_text(*self._words.remedy(remedy, paused=True, to_step=to_step))
        if self._alarm is not None:
            self.set_texts(*self._texts(self._alarm))

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def _texts(self, alarm: AlarmRaised) -> tuple[str, str, str]:
        language = LanguageManager.current().language
        text = messages.alarm_text(alarm, language)
        heading = self.tr("Paused at step {step}: {title}").format(
            step=f"{alarm.step:,}", title=text.title
        )
        first = finding_text(alarm.diagnosis[0], language) if alarm.diagnosis else text.message
        return heading, first, self.tr("How shall it go on?")

    def _open(self) -> None:
        self.opened.emit(self._index)

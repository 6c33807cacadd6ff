"""What needs a person: an error or an alarm, with what to do about it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app import messages
from app.diagnostics import error_diagnostics
from app.i18n import LanguageManager
from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone
from app.widgets.buttons import Button
from app.widgets.card import Card, Surface
from app.widgets.copy_field import copy_text
from app.widgets.labels import label
from core.errors import ErrorInfo
from core.protocol.events import AlarmRaised

ICONS: dict[Tone, str] = {
    "neutral": "information-outline",
    "accent": "information-outline",
    "ok": "check-circle-outline",
    "warning": "alert-outline",
    "error": "alert",
}
SURFACES: dict[Tone, Surface] = {
    "neutral": "card",
    "accent": "accent",
    "ok": "ok",
    "warning": "warning",
    "error": "error",
}


_HEADING_STRETCH = 50
"""Against the stretch of 1 that keeps controls at the right: a heading wraps only at the edge."""


class NoticeCard(Card):
    """Icon and heading, a text, a quieter hint, buttons."""

    def __init__(self, tone: Tone = "neutral", parent: QWidget | None = None) -> None:
        super().__init__(surface=SURFACES[tone], parent=parent)
        self._tone = tone
        self._picture = QLabel()
        self._heading = label("", "strong", wrap=True)
        self.title_row.insertWidget(0, self._picture)
        self.title_row.insertWidget(1, self._heading, _HEADING_STRETCH)
        self._text = label("", wrap=True)
        self._hint = label("", wrap=True)
        self._code = label("", "muted", wrap=True)
        self.buttons = QHBoxLayout()
        for widget in (self._text, self._hint, self._code):
            self.body.addWidget(widget)
        self.body.addLayout(self.buttons)
        self.buttons.addStretch(1)
        self.set_tone(tone)
        ThemeManager.current().changed.connect(self._draw)

    def set_tone(self, tone: Tone) -> None:
        """How grave it is."""
        self._tone = tone
        self.set_surface(SURFACES[tone])
        self._draw()

    def set_texts(self, heading: str, text: str = "", hint: str = "", code: str = "") -> None:
        """All its words; empty parts take no room."""
        self._heading.setText(heading)
        parts = ((self._text, text), (self._hint, hint), (self._code, code))
        for shown, words in parts:
            shown.setText(words)
            shown.setVisible(bool(words))
        self.setAccessibleName(heading)
        self.setAccessibleDescription(" ".join(w for w in (text, hint) if w))

    def add_button(self, button: Button) -> None:
        """One more action, after those that are there."""
        self.buttons.insertWidget(self.buttons.count() - 1, button)

    def _draw(self) -> None:
        role = "muted" if self._tone == "neutral" else self._tone
        self._picture.setPixmap(icon(ICONS[self._tone], role).pixmap(QSize(18, 18)))


class ErrorCard(NoticeCard):
    """What happened, what to do, the code, "Copy diagnostics". Hidden while there is no error."""

    def __init__(self, parent: QWidget | None = None, *, closable: bool = False) -> None:
        super().__init__("error", parent)
        self._error: ErrorInfo | None = None
        self._log_tail = ""
        self.copy_button = Button(icon_name="content-copy")
        self.copy_button.clicked.connect(self._copy)
        self.add_button(self.copy_button)
        self.close_button = Button(kind="icon", icon_name="close")
        self.close_button.clicked.connect(self.clear)
        self.close_button.setVisible(closable)
        self.title_row.addWidget(self.close_button)
        self._retranslate()
        self.setVisible(False)

    def show_error(self, error: ErrorInfo, log_tail: str = "") -> None:
        """Show an error in the language that is on."""
        self._error = error
        self._log_tail = log_tail
        self._retranslate()
        self.setVisible(True)

    def clear(self) -> None:
        """The error is over."""
        self._error = None
        self.setVisible(False)

    @property
    def error(self) -> ErrorInfo | None:
        """What is shown."""
        return self._error

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _copy(self) -> None:
        if self._error is not None:
            text = messages.error_text(self._error, "en")
            copy_text(error_diagnostics(self._error, text.message, self._log_tail))

    def _retranslate(self) -> None:
        self.copy_button.set_text(
            self.tr("Copy diagnostics"), self.tr("Keys and personal paths are left out")
        )
        self.close_button.set_text(self.tr("Dismiss"))
        if self._error is None:
            return
        text = messages.error_text(self._error, LanguageManager.current().language)
        code = self.tr("Code: {code}").format(code=self._error.code)
        self.set_texts(text.message, hint=text.hint, code=code)


class AlarmCard(NoticeCard):
    """An alarm of a run, in plain words, and what was done about it."""

    def __init__(self, alarm: AlarmRaised, done: str = "", parent: QWidget | None = None) -> None:
        super().__init__("error" if alarm.severity == "error" else "warning", parent)
        self.alarm = alarm
        self._done = done
        self._retranslate()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        text = messages.alarm_text(self.alarm, LanguageManager.current().language)
        self.set_texts(text.title, text.message, self._done or text.hint)

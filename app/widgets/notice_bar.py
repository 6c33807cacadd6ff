"""Short news at the top of the window: what was done, what ended, what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QSize, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone
from app.widgets.buttons import Button
from app.widgets.labels import label
from app.widgets.notice_card import ICONS, SURFACES, ErrorCard
from core.errors import ErrorInfo

_MOST = 3
_CALM_MS = 9000
_CALM_TONES: tuple[Tone, ...] = ("neutral", "accent", "ok")


class Notice(QFrame):
    """One line with an optional action; quiet ones leave by themselves."""

    def __init__(
        self,
        text: str,
        tone: Tone,
        action: str = "",
        on_action: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.text = text
        self._tone: Tone = tone
        self._on_action = on_action
        self.setProperty("surface", SURFACES[tone])
        self.setAccessibleName(text)
        self._picture = QLabel()
        self._close = Button(kind="icon", icon_name="close")
        self._close.clicked.connect(self.leave)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.addWidget(self._picture)
        row.addWidget(label(text, wrap=True), 1)
        if action and on_action:
            self._add_action(row, action)
        row.addWidget(self._close)
        self._start_timer()
        self._draw()
        self._retranslate()
        ThemeManager.current().changed.connect(self._draw)

    def leave(self) -> None:
        """Go away."""
        self.hide()
        self.deleteLater()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language. The sentence cannot be said again, so quiet news leaves."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
            if self._tone in _CALM_TONES:
                self.leave()
        super().changeEvent(event)

    def _add_action(self, row: QHBoxLayout, text: str) -> None:
        button = Button(text)
        button.clicked.connect(self._act)
        row.addWidget(button)

    def _act(self) -> None:
        if self._on_action is not None:
            self._on_action()
        self.leave()

    def _start_timer(self) -> None:
        if self._tone in _CALM_TONES:
            timer = QTimer(self)
            timer.setSingleShot(True)
            timer.timeout.connect(self.leave)
            timer.start(_CALM_MS)

    def _draw(self) -> None:
        role = "muted" if self._tone == "neutral" else self._tone
        self._picture.setPixmap(icon(ICONS[self._tone], role).pixmap(QSize(18, 18)))

    def _retranslate(self) -> None:
        self._close.set_text(self.tr("Dismiss"))


class NoticeBar(QWidget):
    """The newest notices, at most three, and one error card; takes no room while empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.error_card = ErrorCard(closable=True)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(22, 12, 22, 0)
        self._column.setSpacing(8)
        self._column.addWidget(self.error_card)
        self._notices: list[Notice] = []
        self.error_card.installEventFilter(self)
        self._fit()

    def add(
        self,
        text: str,
        tone: Tone = "neutral",
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> None:
        """Say something; the same text is not said twice at once."""
        if any(n.text == text for n in self._notices):
            return
        notice = Notice(text, tone, action, on_action)
        notice.destroyed.connect(self._prune)
        notice.installEventFilter(self)
        self._notices.append(notice)
        self._column.addWidget(notice)
        for old in self._notices[:-_MOST]:
            old.leave()
        self._fit()

    @property
    def texts(self) -> list[str]:
        """What is said now, oldest first."""
        return [n.text for n in self._notices if not n.isHidden()]

    def show_error(self, error: ErrorInfo) -> None:
        """Show an error until it is dismissed."""
        self.error_card.show_error(error)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take no room when the last notice hides."""
        if event.type() == QEvent.Type.HideToParent:
            self._notices = [n for n in self._notices if n is not watched]
            self._fit()
        return super().eventFilter(watched, event)

    def _prune(self) -> None:
        self._fit()

    def _fit(self) -> None:
        shown = bool(self.texts) or not self.error_card.isHidden()
        self.setVisible(shown)

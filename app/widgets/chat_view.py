"""The conversation: turns from top to bottom, the newest in view while it grows."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from app.viewmodels.chat import Turn
from app.widgets.card import GAP
from app.widgets.chat_bubbles import TurnView

_DRAW_MS = 50
"""A fast model writes hundreds of pieces a second; laying text out again costs more than that."""
_NEAR_PX = 40


class ChatView(QScrollArea):
    """`show_turns` when turns come or go, `touch` with every piece."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setObjectName("PageScroll")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        body = QWidget()
        body.setObjectName("PageBody")
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, 6, 0)
        self._column.setSpacing(GAP)
        self._column.addStretch(1)
        self.setWidget(body)
        self.turns: list[TurnView] = []
        self._follow = True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DRAW_MS)
        self._timer.timeout.connect(self._draw)
        self.verticalScrollBar().rangeChanged.connect(self._grown)
        self.verticalScrollBar().valueChanged.connect(self._moved)

    def show_turns(self, turns: list[Turn]) -> None:
        """Add what is new, take away what is gone."""
        while self.turns and (
            len(self.turns) > len(turns) or self.turns[-1].turn is not turns[len(self.turns) - 1]
        ):
            gone = self.turns.pop()
            self._column.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for turn in turns[len(self.turns) :]:
            view = TurnView(turn)
            self._column.insertWidget(self._column.count() - 1, view)
            self.turns.append(view)
        self._follow = True
        self._draw()

    def touch(self) -> None:
        """The last turn grew; it is drawn soon."""
        if not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        if self.turns:
            self.turns[-1].refresh()

    def _grown(self, _low: int, high: int) -> None:
        if self._follow:
            self.verticalScrollBar().setValue(high)

    def _moved(self, value: int) -> None:
        """Who scrolls up wants to read; who comes back to the end wants to follow."""
        self._follow = value >= self.verticalScrollBar().maximum() - _NEAR_PX


class ChatInput(QPlainTextEdit):
    """Enter sends, Shift+Enter is a new line; grows with the text up to a few lines."""

    submitted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTabChangesFocus(True)
        self.textChanged.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Send on Enter."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.submitted.emit()
            return
        super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Another font needs another height."""
        if event.type() == QEvent.Type.FontChange:
            self._fit()
        super().changeEvent(event)

    def _fit(self) -> None:
        lines = min(6, max(2, self.document().lineCount()))
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + 20)

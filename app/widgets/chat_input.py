"""Where questions are written."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QFocusEvent, QInputMethodEvent, QKeyEvent
from PySide6.QtWidgets import QPlainTextEdit, QWidget

_MOST_LINES = 8


class ChatInput(QPlainTextEdit):
    """Enter sends, Shift+Enter is a new line; grows with the text up to a few lines.

    Up in an empty field asks for the last question. While an input method composes, Enter is its.
    """

    submitted = Signal()
    earlier_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._composing = False
        self.setTabChangesFocus(True)
        self.textChanged.connect(self._fit)
        self._fit()

    @property
    def composing(self) -> bool:
        """An input method holds letters that are not text yet."""
        return self._composing

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Know whether letters are still being turned into characters."""
        self._composing = bool(event.preeditString())
        super().inputMethodEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What was being composed is given up."""
        self._composing = False
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Send on Enter."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        broken = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if enter and not broken and not self._composing:
            self.submitted.emit()
            return
        if event.key() == Qt.Key.Key_Up and not self.toPlainText() and not self._composing:
            self.earlier_wanted.emit()
            return
        super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Another font needs another height."""
        if event.type() == QEvent.Type.FontChange:
            self._fit()
        super().changeEvent(event)

    def _fit(self) -> None:
        lines = min(_MOST_LINES, max(2, self.document().lineCount()))
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + 24)

"""Labels by role; sizes and colors come from the style sheet."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget

Role = Literal[
    "body", "title", "section", "heading", "muted", "strong", "figure", "large_figure",
    "error", "warning", "ok", "brand",
]  # fmt: skip


def restyle(widget: QWidget) -> None:
    """Let the style sheet see a changed dynamic property."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def label(text: str = "", role: Role = "body", *, wrap: bool = False) -> QLabel:
    """A plain-text label: nothing a model or a file says is ever taken for HTML."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setProperty("role", role)
    made.setWordWrap(wrap)
    return made


def set_role(target: QLabel, role: Role) -> None:
    """Give a label another role."""
    if target.property("role") != role:
        target.setProperty("role", role)
        restyle(target)


class ElidedLabel(QLabel):
    """One line that ends in … when it does not fit; the whole text is in the tooltip."""

    def __init__(
        self,
        text: str = "",
        role: Role = "body",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.setMinimumWidth(24)
        self._mode = mode
        self._full = ""
        self.set_full_text(text)

    @property
    def full_text(self) -> str:
        """The text as it was given."""
        return self._full

    def set_full_text(self, text: str) -> None:
        """Show `text`, cut where it must be."""
        self._full = text
        self.updateGeometry()
        self._elide()

    def sizeHint(self) -> QSize:
        """Room for the whole text, so that a cut one grows back."""
        hint = super().sizeHint()
        hint.setWidth(self.fontMetrics().horizontalAdvance(self._full) + 2)
        return hint

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        shown = self.fontMetrics().elidedText(self._full, self._mode, max(self.width(), 24))
        if shown != self.text():
            self.setText(shown)
        self.setToolTip(self._full if shown != self._full else "")
        self.setAccessibleName(self._full)

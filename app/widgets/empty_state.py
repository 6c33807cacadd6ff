"""An empty page says in one sentence what will be here and holds the button that brings it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.widgets.buttons import Button
from app.widgets.labels import label

_TEXT_WIDTH = 460


class EmptyState(QWidget):
    """Icon, heading, sentence, one button."""

    def __init__(self, icon_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon_name
        self._picture = QLabel()
        self._heading = label("", "heading")
        self._sentence = label("", "muted", wrap=True)
        self._sentence.setFixedWidth(_TEXT_WIDTH)
        self.button = Button(kind="primary")
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 32, 24, 32)
        column.setSpacing(10)
        column.addStretch(1)
        for widget in (self._picture, self._heading, self._sentence, self.button):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
            if isinstance(widget, QLabel):
                widget.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addStretch(1)
        self._draw()
        ThemeManager.current().changed.connect(self._draw)

    def set_texts(self, heading: str, sentence: str, action: str = "") -> None:
        """All its words; without `action` there is no button."""
        self._heading.setText(heading)
        self._sentence.setText(sentence)
        self._sentence.setVisible(bool(sentence))
        self.button.set_text(action)
        self.button.setVisible(bool(action))

    def _draw(self) -> None:
        self._picture.setPixmap(icon(self._icon_name, "faint").pixmap(QSize(44, 44)))

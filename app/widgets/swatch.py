"""A small square of a color, for legends."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.theme.manager import ThemeManager
from app.widgets.plot_style import pen, role_color

_SIZE_PX = 11


class Swatch(QWidget):
    """Roles as in `plot_style.role_color`; the words beside it say what it means."""

    def __init__(self, role: str, edge: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._role, self._edge = role, edge
        self.setFixedSize(_SIZE_PX, _SIZE_PX)
        ThemeManager.current().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The square."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(pen(role_color(self._edge or self._role)))
        painter.setBrush(role_color(self._role))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)

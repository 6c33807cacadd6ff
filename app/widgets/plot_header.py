"""The line above a plot: what it is, which line is which, and the value of now, large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import fonts
from app.widgets.plot_style import faint, pen, role_color
from app.widgets.plot_style import font as font_of

_SWATCH_PX = 14.0
_GAP = 8.0
_ENTRY_GAP = 10.0
_SWATCH_DASH = (1.8, 1.2)
"""Short, so that the swatch shows more than one dash."""


@dataclass(frozen=True)
class Entry:
    """One line of the legend, or one value under the crosshair."""

    text: str
    role: str
    dash: tuple[float, ...] = ()
    faint: bool = False


def fitting(
    entries: tuple[Entry, ...], width_of: Callable[[str], float], room: float
) -> tuple[Entry, ...]:
    """What fits into `room` pixels. Faint entries go first (their bold line explains them), then
    the last.
    """

    def needed(kept: tuple[Entry, ...]) -> float:
        widths = sum(_SWATCH_PX + 4 + width_of(e.text) for e in kept)
        return widths + _ENTRY_GAP * (len(kept) - 1)

    if needed(entries) > room:
        entries = tuple(e for e in entries if not e.faint)
    while entries and needed(entries) > room:
        entries = entries[:-1]
    return entries


class PlotHeader(QWidget):
    """Painted in one go: labels in a layout would cost a relayout for every new figure."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = ""
        self.value = ""
        self.unit = ""
        self.entries: tuple[Entry, ...] = ()
        self.setFixedHeight(32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def sizeHint(self) -> QSize:
        """Wide enough for title and value."""
        return QSize(200, 32)

    def show_state(self, value: str, unit: str, entries: tuple[Entry, ...]) -> None:
        """Repaint if anything changed."""
        if (value, unit, entries) != (self.value, self.unit, self.entries):
            self.value, self.unit, self.entries = value, unit, entries
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Title left, value right, legend in what is left between."""
        painter = QPainter(self)
        right = self._paint_value(painter)
        left = self._paint_title(painter, right)
        self._paint_entries(painter, left + 2 * _GAP, right - 2 * _GAP)

    def _paint_value(self, painter: QPainter) -> float:
        """The left end of what it took."""
        edge = float(self.width()) - 4
        base = self.height() - 10.0
        if self.unit:
            small = font_of(fonts.SMALL_PT)
            edge = self._text_left_of(painter, edge, base, self.unit, small, "muted") - 5
        large = font_of(15.0, QFont.Weight.DemiBold)
        return self._text_left_of(painter, edge, base, self.value, large, "text")

    def _paint_title(self, painter: QPainter, right: float) -> float:
        font = font_of(fonts.SECTION_PT, QFont.Weight.Medium)
        metrics = QFontMetricsF(font)
        room = max(0.0, right - _GAP - 2)
        text = metrics.elidedText(self.title, Qt.TextElideMode.ElideRight, room)
        painter.setFont(font)
        painter.setPen(role_color("text"))
        painter.drawText(QPointF(2, self.height() - 11.0), text)
        return 2 + metrics.horizontalAdvance(text)

    def _paint_entries(self, painter: QPainter, left: float, right: float) -> None:
        font = font_of(8.5)
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        base = self.height() - 11.0
        for entry in fitting(self.entries, metrics.horizontalAdvance, right - left):
            width = _SWATCH_PX + 4 + metrics.horizontalAdvance(entry.text)
            color = role_color(entry.role)
            dash = _SWATCH_DASH if entry.dash else ()
            stroke = pen(faint(color) if entry.faint else color, 2.0, dash)
            stroke.setCapStyle(Qt.PenCapStyle.FlatCap)  # square caps would fill the gaps of a dash
            painter.setPen(stroke)
            y = round(base - metrics.ascent() * 0.36)
            start = round(left)
            painter.drawLine(QPointF(start, y), QPointF(start + _SWATCH_PX, y))
            painter.setPen(role_color("muted"))
            painter.drawText(QPointF(left + _SWATCH_PX + 4, base), entry.text)
            left += width + _ENTRY_GAP

    def _text_left_of(
        self, painter: QPainter, edge: float, base: float, text: str, font: QFont, role: str
    ) -> float:
        width = QFontMetricsF(font).horizontalAdvance(text)
        painter.setFont(font)
        painter.setPen(role_color(role))
        painter.drawText(QPointF(edge - width, base), text)
        return edge - width

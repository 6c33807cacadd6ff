"""How long the samples are: bars over lengths in tokens, with the limit as a line."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme.manager import ThemeManager
from app.widgets.plot_style import pen
from core.runlog.preview import Histogram

_HEIGHT_PX = 92
_FOOT_PX = 18


class TokenLengths(QWidget):
    """Painted by hand: thirty bars need no plot."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lengths = Histogram()
        self._limit = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        ThemeManager.current().changed.connect(self.update)

    def show_lengths(self, lengths: Histogram, limit_tokens: int, summary: str) -> None:
        """Draw them; `summary` is what a screen reader and the tooltip say."""
        self._lengths, self._limit = lengths, limit_tokens
        self.setToolTip(summary)
        self.setAccessibleName(summary)
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(240, _HEIGHT_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Bars, limit, the two ends of the axis."""
        edges, counts = self._lengths.edges, self._lengths.counts
        if not counts or len(edges) != len(counts) + 1:
            return
        theme = ThemeManager.current()
        painter = QPainter(self)
        room = QRectF(0, 2, self.width(), self.height() - _FOOT_PX - 2)
        low, high, most = edges[0], edges[-1], max(counts)
        scale = room.width() / max(high - low, 1)
        painter.setPen(Qt.PenStyle.NoPen)
        for left, right, count in zip(edges, edges[1:], counts, strict=False):
            over = self._limit and left >= self._limit
            painter.setBrush(theme.color("warning" if over else "accent"))
            height = room.height() * count / max(most, 1)
            width = max((right - left) * scale - 1.5, 1.0)
            painter.drawRect(QRectF((left - low) * scale, room.bottom() - height, width, height))
        painter.setPen(pen(theme.color("border_strong")))
        painter.drawLine(room.bottomLeft(), room.bottomRight())
        if self._limit and low < self._limit < high:
            painter.setPen(pen(theme.color("warning")))
            x = (self._limit - low) * scale
            painter.drawLine(
                QRectF(x, room.top(), 0, room.height()).topLeft(),
                QRectF(x, room.top(), 0, room.height()).bottomLeft(),
            )
        painter.setPen(theme.color("muted"))
        foot = QRectF(0, room.bottom() + 2, room.width(), _FOOT_PX - 2)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, f"{low:,}")
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, f"{max(high - 1, low):,}")

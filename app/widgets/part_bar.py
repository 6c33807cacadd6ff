"""A whole in parts: one stacked bar, and a row with name and figure for each part."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from app.theme.manager import ThemeManager
from app.widgets.card import clear_layout
from app.widgets.labels import ElidedLabel, label
from app.widgets.plot_style import role_color
from app.widgets.swatch import Swatch

_BAR_PX = 12
_GAP_PX = 1.0
_LIMIT_PX = 2.0


@dataclass(frozen=True)
class Part:
    """One part; roles as in `plot_style.role_color`."""

    name: str
    value: float
    text: str
    role: str


class PartBar(QWidget):
    """Parts beside each other, over a track as long as the whole."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[Part, ...] = ()
        self._whole = 0.0
        self._limit = 0.0
        self.setFixedHeight(_BAR_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        ThemeManager.current().changed.connect(self.update)

    def show_parts(self, parts: tuple[Part, ...], whole: float = 0.0, limit: float = 0.0) -> None:
        """`whole` is the length of the track; parts that are longer together fill all of it.

        `limit` marks a place that should not be passed; 0: none.
        """
        self._parts = parts
        self._limit = limit
        self._whole = max(whole, sum(p.value for p in parts))
        self.setAccessibleName(", ".join(f"{p.name} {p.text}" for p in parts))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outline = QPainterPath()
        outline.addRoundedRect(QRectF(self.rect()), 3, 3)
        painter.setClipPath(outline)
        painter.fillRect(self.rect(), role_color("raised"))
        left = 0.0
        for part in self._parts:
            width = part.value / self._whole * self.width() if self._whole else 0.0
            room = max(0.0, width - _GAP_PX)
            painter.fillRect(QRectF(left, 0, room, _BAR_PX), role_color(part.role))
            left += width
        if self._limit and self._whole:
            at = self._limit / self._whole * self.width()
            painter.fillRect(QRectF(at - 1, 0, _LIMIT_PX, _BAR_PX), role_color("warning"))


class PartList(QWidget):
    """The bar with its legend."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = PartBar()
        self._parts: tuple[Part, ...] = ()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(5)
        self._grid.setColumnStretch(1, 1)
        self._grid.addWidget(self.bar, 0, 0, 1, 3)
        self._rows = QGridLayout()
        self._rows.setHorizontalSpacing(8)
        self._rows.setVerticalSpacing(4)
        self._rows.setColumnStretch(1, 1)
        self._grid.addLayout(self._rows, 1, 0, 1, 3)

    def show_parts(self, parts: tuple[Part, ...], whole: float = 0.0, limit: float = 0.0) -> None:
        """Replace all parts."""
        self.bar.show_parts(parts, whole, limit)
        if parts == self._parts:
            return
        self._parts = parts
        clear_layout(self._rows)
        for row, part in enumerate(parts):
            self._rows.addWidget(Swatch(part.role), row, 0, Qt.AlignmentFlag.AlignVCenter)
            self._rows.addWidget(ElidedLabel(part.name), row, 1)
            self._rows.addWidget(label(part.text, "muted"), row, 2, Qt.AlignmentFlag.AlignRight)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What is shown: name and figure of each part."""
        return [(p.name, p.text) for p in self._parts]

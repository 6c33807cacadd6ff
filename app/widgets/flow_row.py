"""Buttons in a row that goes on in the next line when it is too long."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget


class FlowRow(QWidget):
    """Places its visible widgets itself, as tall as they need at the width that there is."""

    def __init__(self, gap_px: int = 8, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._gap = gap_px
        self._parts: list[QWidget] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def add(self, part: QWidget) -> None:
        """One more, after those that are there."""
        part.setParent(self)
        self._parts.append(part)
        self.rearrange()

    def rearrange(self) -> None:
        """A part became wider, or was shown or hidden."""
        height = self._place(self.width())
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)

    def sizeHint(self) -> QSize:
        """One line of all parts."""
        widths = [p.sizeHint().width() for p in self._parts if not p.isHidden()]
        return QSize(sum(widths) + self._gap * max(0, len(widths) - 1), self.height())

    def minimumSizeHint(self) -> QSize:
        """The widest part alone."""
        widths = [p.sizeHint().width() for p in self._parts if not p.isHidden()]
        return QSize(max(widths, default=0), self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place anew."""
        super().resizeEvent(event)
        self.rearrange()

    def event(self, event: QEvent) -> bool:
        """A part asked for another size."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.rearrange()
        return super().event(event)

    def _place(self, width: int) -> int:
        left = top = line = 0
        for part in self._parts:
            if part.isHidden():
                continue
            size = part.sizeHint()
            if left and left + size.width() > width:
                left, top, line = 0, top + line + self._gap, 0
            part.setGeometry(left, top, size.width(), size.height())
            left += size.width() + self._gap
            line = max(line, size.height())
        return top + line

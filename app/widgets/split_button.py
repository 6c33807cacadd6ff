"""A button with a small arrow beside it for other ways to do the same."""

from __future__ import annotations

from PySide6.QtCore import QPoint
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from app.widgets.buttons import Button, Kind


class SplitButton(QWidget):
    """`main` does the usual thing at one click; the arrow opens the menu of the others."""

    def __init__(
        self, kind: Kind = "secondary", icon_name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.main = Button(kind=kind, icon_name=icon_name)
        self.arrow = Button(kind=kind, icon_name="chevron-down")
        self.arrow.setProperty("narrow", True)
        self.menu = QMenu(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(self.main)
        row.addWidget(self.arrow)
        self.arrow.clicked.connect(self._open)

    def add_choice(self) -> QAction:
        """One more entry of the menu; its text comes with the language."""
        return self.menu.addAction("")

    def name_arrow(self, text: str) -> None:
        """What the arrow leads to."""
        self.arrow.setAccessibleName(text)
        self.arrow.setToolTip(text)

    def _open(self) -> None:
        at = self.mapToGlobal(QPoint(0, self.height() + 2))
        self.menu.popup(at)

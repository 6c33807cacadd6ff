"""Cards: surfaces of 8 px corners and a border of 1 px."""

from __future__ import annotations

from typing import Literal

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLayout, QSizePolicy, QVBoxLayout, QWidget

from app.widgets.labels import label, restyle

Surface = Literal["card", "plain", "raised", "accent", "ok", "warning", "error"]

GAP = 12
"""Pixels between cards."""


class Card(QFrame):
    """A card with an optional title line; put content into `body`, controls into `title_row`."""

    def __init__(
        self, title: str = "", surface: Surface = "card", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setProperty("surface", surface)
        outer = QVBoxLayout(self)
        edges = (0, 4, 0, 4) if surface == "plain" else (14, 12, 14, 12)
        outer.setContentsMargins(*edges)
        outer.setSpacing(8)
        self.title_label = label(title, "section")
        self.title_label.setVisible(bool(title))
        self.title_row = QHBoxLayout()
        self.title_row.addWidget(self.title_label)
        self.title_row.addStretch(1)
        outer.addLayout(self.title_row)
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        outer.addLayout(self.body, 1)
        if title:
            self.setAccessibleName(title)

    def set_title(self, text: str) -> None:
        """Show or change the title."""
        self.title_label.setText(text)
        self.title_label.setVisible(bool(text))
        self.setAccessibleName(text)

    def set_surface(self, surface: Surface) -> None:
        """Another tone."""
        if self.property("surface") != surface:
            self.setProperty("surface", surface)
            restyle(self)


def line() -> QFrame:
    """A horizontal rule."""
    made = QFrame()
    made.setProperty("surface", "line")
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def clear_layout(layout: QLayout) -> None:
    """Remove and delete everything in a layout."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            clear_layout(inner)

"""Views of one thing beside each other: a row of names, one of them chosen."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QWidget

from app.widgets.buttons import Button


class TabRow(QWidget):
    """`chosen` carries the key of a view; left and right arrows go through them."""

    chosen = Signal(str)

    def __init__(self, keys: list[str], icons: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {
            key: Button(kind="tab", icon_name=name) for key, name in zip(keys, icons, strict=True)
        }
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for key, button in self.buttons.items():
            button.setCheckable(True)
            button.toggled.connect(lambda on, k=key, b=button: self._toggled(k, b, on))
            button.installEventFilter(self)
            self._group.addButton(button)
            row.addWidget(button)
        row.addStretch(1)
        self.end = QHBoxLayout()
        """At the right of the row."""
        row.addLayout(self.end)

    @property
    def key(self) -> str:
        """The view that is chosen."""
        return next((k for k, b in self.buttons.items() if b.isChecked()), "")

    def choose(self, key: str) -> None:
        """Bring a view to the front."""
        self.buttons[key].setChecked(True)

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:  # type: ignore[override]
        """Arrows move to the neighbor."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
            if step:
                self._move(step)
                return True
        return super().eventFilter(watched, event)

    def _move(self, step: int) -> None:
        shown = [k for k, b in self.buttons.items() if not b.isHidden()]
        key = shown[(shown.index(self.key) + step) % len(shown)]
        self.choose(key)
        self.buttons[key].setFocus()

    def _toggled(self, key: str, button: Button, on: bool) -> None:
        button.refresh_icon()
        if on:
            self.chosen.emit(key)

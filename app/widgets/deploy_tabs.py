"""Views of one thing beside each other: a row of names, one of them chosen."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QWidget

from app.widgets.buttons import Button
from app.widgets.flow_row import FlowRow


class TabRow(QWidget):
    """`chosen` carries the key of a view; left and right arrows go through them.

    With `flows` the row goes on in the next line where it is too long.
    """

    chosen = Signal(str)

    def __init__(
        self,
        keys: list[str],
        icons: list[str],
        parent: QWidget | None = None,
        *,
        flows: bool = False,
    ) -> None:
        super().__init__(parent)
        self.buttons = {
            key: Button(kind="tab", icon_name=name) for key, name in zip(keys, icons, strict=True)
        }
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        flow = FlowRow(4)
        if flows:
            row.addWidget(flow, 1)
        for key, button in self.buttons.items():
            button.setCheckable(True)
            button.toggled.connect(lambda on, k=key, b=button: self._toggled(k, b, on))
            button.installEventFilter(self)
            self._group.addButton(button)
            if flows:
                flow.add(button)
            else:
                row.addWidget(button)
        if not flows:
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

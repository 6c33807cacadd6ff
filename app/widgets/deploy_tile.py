"""One figure, large; under it its target as a light, or a quiet note."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.viewmodels.serve_targets import LightState
from app.widgets.card import Card
from app.widgets.labels import ElidedLabel, Role, set_role
from app.widgets.stat_strip import Stat

_ICONS: dict[LightState, tuple[str, str]] = {
    "met": ("check-circle", "ok"),
    "missed": ("alert-circle", "error"),
    "unknown": ("help-circle-outline", "muted"),
}
_ROLES: dict[LightState, Role] = {"met": "ok", "missed": "error", "unknown": "muted"}


class Tile(Card):
    """`show_figure("412 ms", "target < 500 ms", light="met", explanation="…")`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.stat = Stat()
        self.stat.make_large()
        self._picture = QLabel()
        self._picture.setVisible(False)
        self._note = ElidedLabel("", "muted")
        self._light: LightState | None = None
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self._picture)
        line.addWidget(self._note, 1)
        self.body.setSpacing(2)
        self.body.addWidget(self.stat)
        self.body.addLayout(line)
        ThemeManager.current().changed.connect(self._draw)

    def show_figure(
        self,
        value: str,
        note: str = "",
        *,
        light: LightState | None = None,
        explanation: str = "",
    ) -> None:
        """A value and what stands under it.

        Args:
            value: with its unit; empty shows a dash.
            note: one line.
            light: whether a target is met; None for a figure without one.
            explanation: for the tooltip and screen readers.
        """
        self.stat.set_value(value)
        self._note.set_full_text(note)
        set_role(self._note, _ROLES[light] if light else "muted")
        self.setToolTip(explanation)
        self.setAccessibleDescription(explanation or note)
        if light != self._light:
            self._light = light
            self._draw()

    @property
    def light(self) -> LightState | None:
        """What the light says."""
        return self._light

    @property
    def note(self) -> str:
        """What stands under the figure."""
        return self._note.full_text

    def _draw(self) -> None:
        self._picture.setVisible(self._light is not None)
        if self._light is not None:
            self._picture.setPixmap(icon(*_ICONS[self._light]).pixmap(QSize(14, 14)))

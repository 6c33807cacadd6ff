"""A thin progress bar; the words stand beside it, so that nothing depends on its color."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar, QWidget

from app.theme.tokens import Tone
from app.widgets.labels import restyle

_PARTS = 1000


class Progress(QProgressBar):
    """`set_fraction(0.4)`; None moves without saying how far."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self.setRange(0, _PARTS)
        self.setValue(0)
        self.setAccessibleName(name)

    def set_fraction(self, fraction: float | None) -> None:
        """0 to 1, or None when it is not known."""
        if fraction is None:
            self.setRange(0, 0)
            return
        if self.maximum() == 0:
            self.setRange(0, _PARTS)
        self.setValue(round(min(1.0, max(0.0, fraction)) * _PARTS))

    def set_tone(self, tone: Tone) -> None:
        """Warn by color as well as by the words beside it."""
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            restyle(self)

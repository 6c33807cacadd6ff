"""The state of a thing as a chip: a dot, a word, a color; never color alone."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.theme.tokens import Tone
from app.widgets.labels import restyle

_DOT = {"neutral": "○", "accent": "●", "ok": "●", "warning": "▲", "error": "■"}
STATUS_TONES: dict[str, Tone] = {
    "starting": "accent",
    "running": "ok",
    "ready": "ok",
    "loading": "accent",
    "stopping": "warning",
    "paused": "warning",
    "completed": "ok",
    "stopped": "neutral",
    "failed": "error",
    "lost": "error",
    "warning": "warning",
    "broken": "error",
    "ok": "ok",
}
"""Tones of the words in `core.runlog.state.Status` and of the findings of the doctor."""


class StatusChip(QLabel):
    """`set_state("running", "ok")`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Maximum)
        self.set_state("", "neutral")

    def set_state(self, text: str, tone: Tone = "neutral") -> None:
        """Say the state; an empty text hides the chip."""
        self.setVisible(bool(text))
        self.setText(f"{_DOT[tone]} {text}")
        self.setAccessibleName(text)
        if self.property("chip") != tone:
            self.setProperty("chip", tone)
            restyle(self)

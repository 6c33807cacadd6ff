"""One sample of a dataset as a person reads it: who says what, or plain text."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.widgets.card import Card, clear_layout
from app.widgets.labels import label
from core.datasets import Sample

_MOST_CHARACTERS = 1500


class SampleCard(Card):
    """The user's turns on a raised surface, the answers (what is trained) on the accent's."""

    def __init__(self, sample: Sample, number: int, parent: QWidget | None = None) -> None:
        super().__init__(surface="plain", parent=parent)
        self._sample = sample
        self._number = number
        self._turns = QVBoxLayout()
        self._turns.setSpacing(6)
        self.body.addLayout(self._turns)
        self._retranslate()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._retranslate()
        super().changeEvent(event)

    def _retranslate(self) -> None:
        self.set_title(self.tr("Sample {number}").format(number=self._number))
        clear_layout(self._turns)
        names = {
            "system": self.tr("System"),
            "user": self.tr("Question"),
            "assistant": self.tr("Answer, trained"),
        }
        for message in self._sample.messages:
            self._turns.addWidget(_turn(names[message.role], message.content, message.role))
        if self._sample.text:
            self._turns.addWidget(_turn(self.tr("Text, trained"), self._sample.text, "assistant"))


def _turn(name: str, text: str, role: str) -> QFrame:
    frame = QFrame()
    frame.setProperty("surface", "quiet_accent" if role == "assistant" else "quiet")
    column = QVBoxLayout(frame)
    column.setContentsMargins(12, 8, 12, 10)
    column.setSpacing(2)
    column.addWidget(label(name, "muted"))
    cut = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " …"
    words = label(cut, wrap=True)
    words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    column.addWidget(words)
    return frame

"""What was asked and answered. A model's words are plain text: nothing in them becomes HTML."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.viewmodels.chat import Answer, Turn
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.copy_field import copy_text
from app.widgets.labels import label

_MARGIN = 72
"""Pixels that a question stays away from the left edge."""


def _selectable(role_label: QLabel) -> QLabel:
    role_label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse
        | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    role_label.setCursor(Qt.CursorShape.IBeamCursor)
    return role_label


class QuestionBubble(QWidget):
    """The user's words, at the right."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        card = Card(surface="accent")
        self.text = _selectable(label(text, wrap=True))
        card.body.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(_MARGIN, 0, 0, 0)
        row.addStretch(1)
        row.addWidget(card, 4)


class AnswerBubble(Card):
    """A model's words, its thoughts folded away, and what they cost."""

    def __init__(self, answer: Answer, named: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._answer = answer
        self._named = named
        self.thought_button = Button(kind="link", icon_name="chevron-right")
        self.thought_button.setCheckable(True)
        self.thought = _selectable(label("", "muted", wrap=True))
        self.text = _selectable(label("", wrap=True))
        self.problem = label("", "error", wrap=True)
        self.facts = label("", "muted")
        self.copy_button = Button(kind="icon", icon_name="content-copy")
        self._lay_out()
        self.thought_button.toggled.connect(self._fold)
        self.copy_button.clicked.connect(self._copy)
        self.retranslate()

    def _lay_out(self) -> None:
        self.body.addWidget(self.thought_button, 0, Qt.AlignmentFlag.AlignLeft)
        for words in (self.thought, self.text, self.problem):
            self.body.addWidget(words)
        self.body.addStretch(1)
        foot = QHBoxLayout()
        foot.addWidget(self.facts, 1)
        foot.addWidget(self.copy_button)
        self.body.addLayout(foot)

    def refresh(self) -> None:
        """Show what the answer holds now."""
        answer = self._answer
        self.set_title(answer.model if self._named else "")
        self.thought_button.setVisible(bool(answer.reasoning))
        self.thought.setVisible(bool(answer.reasoning) and self.thought_button.isChecked())
        self.thought.setText(answer.reasoning)
        waiting = answer.running and not (answer.text or answer.reasoning)
        self.text.setText("…" if waiting else answer.text)
        self.text.setVisible(bool(self.text.text()))
        self.problem.setText(answer.error)
        self.problem.setVisible(bool(answer.error))
        self.facts.setText(" · ".join(self._facts()))
        self.copy_button.setVisible(bool(answer.text) and not answer.running)

    def _facts(self) -> list[str]:
        answer = self._answer
        facts = []
        if answer.tokens:
            facts.append(self.tr("{n} tokens").format(n=answer.tokens))
        if (speed := answer.tokens_per_second) is not None:
            facts.append(self.tr("{n} tokens/s").format(n=f"{speed:.1f}"))
        if answer.ttft_ms is not None and not answer.running:
            facts.append(self.tr("first after {n} ms").format(n=f"{answer.ttft_ms:,.0f}"))
        ends = {"length": self.tr("cut at the limit"), "stopped": self.tr("stopped by you")}
        if not answer.running and answer.finish in ends:
            facts.append(ends[answer.finish])
        return facts

    def retranslate(self) -> None:
        """All texts."""
        self.thought_button.set_text(self.tr("Thoughts"))
        self.copy_button.set_text(self.tr("Copy the answer"))
        self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def _fold(self, shown: bool) -> None:
        self.thought_button.set_icon("chevron-down" if shown else "chevron-right")
        self.refresh()

    def _copy(self) -> None:
        copy_text(self._answer.text)


class TurnView(QWidget):
    """A question and its answers, side by side when there are several."""

    def __init__(self, turn: Turn, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.turn = turn
        self.answers: list[AnswerBubble] = []
        self._shown: list[Answer] = []
        self._row = QHBoxLayout()
        self._row.setSpacing(GAP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(QuestionBubble(turn.question))
        column.addLayout(self._row)
        self.refresh()

    def refresh(self) -> None:
        """Show the answers as they are now; other answers than before are drawn anew."""
        if [id(a) for a in self._shown] != [id(a) for a in self.turn.answers]:
            self._rebuild()
        for bubble in self.answers:
            bubble.refresh()

    def _rebuild(self) -> None:
        for bubble in self.answers:
            self._row.removeWidget(bubble)
            bubble.deleteLater()
        self._shown = list(self.turn.answers)
        named = len(self._shown) > 1
        self.answers = [AnswerBubble(a, named) for a in self._shown]
        for bubble in self.answers:
            self._row.addWidget(bubble, 1)

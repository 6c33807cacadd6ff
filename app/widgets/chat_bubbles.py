"""What was asked and answered: bubbles, thoughts folded away, versions, figures."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.viewmodels.chat_turns import Answer, Column, Turn
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.chat_text import MarkdownView
from app.widgets.chat_words import TOO_LONG, ChatWords
from app.widgets.copy_field import copy_text
from app.widgets.labels import label, set_role

_MARGIN = 72
"""Pixels that a question stays away from the left edge."""
_SIDE_BY_SIDE_PX = 640
"""Narrower, answers stand under each other."""


def _selectable(role_label: QLabel) -> QLabel:
    role_label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse
        | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    role_label.setCursor(Qt.CursorShape.IBeamCursor)
    return role_label


class QuestionBubble(QWidget):
    """The user's words, at the right, as they were typed."""

    asked = Signal(str)
    """edit, delete."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        card = Card(surface="accent")
        card.setProperty("surface", "quiet_accent")
        self.text = _selectable(label(text, wrap=True))
        card.body.addWidget(self.text)
        self.copy_button = Button(kind="icon", icon_name="content-copy")
        self.edit_button = Button(kind="icon", icon_name="pencil-outline")
        self.delete_button = Button(kind="icon", icon_name="delete-outline")
        tools = QHBoxLayout()
        tools.setSpacing(0)
        for button in (self.copy_button, self.edit_button, self.delete_button):
            tools.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        row = QHBoxLayout(self)
        row.setContentsMargins(_MARGIN, 0, 0, 0)
        row.setSpacing(4)
        row.addStretch(1)
        row.addLayout(tools)
        row.addWidget(card, 4)
        self.copy_button.clicked.connect(lambda: copy_text(text))
        self.edit_button.clicked.connect(lambda: self.asked.emit("edit"))
        self.delete_button.clicked.connect(lambda: self.asked.emit("delete"))
        self.retranslate()

    def set_busy(self, busy: bool) -> None:
        """While an answer is written, nothing before it changes."""
        self.edit_button.setEnabled(not busy)
        self.delete_button.setEnabled(not busy)

    def retranslate(self) -> None:
        """All texts."""
        self.copy_button.set_text(self.tr("Copy the question"))
        self.edit_button.set_text(self.tr("Edit the question"))
        self.delete_button.set_text(self.tr("Delete the question and its answers"))

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


class ThoughtBlock(QWidget):
    """One line, opened by a click: how long the model thought, and what."""

    def __init__(self, words: ChatWords, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = words
        self._answer: Answer | None = None
        self.button = Button(kind="link", icon_name="chevron-right")
        self.button.setCheckable(True)
        self.frame = Card(surface="raised")
        self.frame.setProperty("surface", "quiet")
        self.text = _selectable(label("", "muted", wrap=True))
        self.frame.body.addWidget(self.text)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.frame)
        self.button.toggled.connect(self._fold)

    def show_answer(self, answer: Answer) -> None:
        """Show this answer's thought; hidden where there is none."""
        self._answer = answer
        self.setVisible(bool(answer.reasoning))
        self.button.set_text(self._words.thought(answer))
        self.frame.setVisible(self.button.isChecked())
        if self.button.isChecked():
            self.text.setText(answer.reasoning.strip())

    def _fold(self, shown: bool) -> None:
        self.button.set_icon("chevron-down" if shown else "chevron-right")
        if self._answer is not None:
            self.show_answer(self._answer)


def _unbroken(fact: str) -> str:
    """A line may end between facts, not inside one; Chinese could break behind any character."""
    return "\u2060".join(fact.replace(" ", "\u00a0"))


class AnswerBubble(Card):
    """A model's words, its thoughts folded away, and what they cost."""

    asked = Signal(str)
    """again, continue, retry, shorter, back, forth."""

    def __init__(self, column: Column, named: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._column = column
        self._named = named
        self._can_ask = self._can_go_on = self._last = False
        self._words = ChatWords(self)
        self.thought = ThoughtBlock(self._words)
        self.text = MarkdownView()
        self.waiting = label("…", "muted")
        self.problem = label("", "error", wrap=True)
        self.facts = label("", "muted", wrap=True)
        self.retry_button = Button(icon_name="refresh")
        self.shorter_button = Button(icon_name="message-plus-outline")
        self.continue_button = Button(kind="link", icon_name="arrow-right")
        self.back_button = Button(kind="icon", icon_name="chevron-left")
        self.page_label = label("", "muted")
        self.forth_button = Button(kind="icon", icon_name="chevron-right")
        self.again_button = Button(kind="icon", icon_name="refresh")
        self.copy_button = Button(kind="icon", icon_name="content-copy")
        self._lay_out()
        self._connect()
        self.retranslate()

    def _lay_out(self) -> None:
        for words in (self.thought, self.waiting, self.text, self.problem):
            self.body.addWidget(words)
        helps = QHBoxLayout()
        for button in (self.retry_button, self.shorter_button, self.continue_button):
            helps.addWidget(button)
        helps.addStretch(1)
        self.body.addLayout(helps)
        self.body.addStretch(1)
        foot = QHBoxLayout()
        foot.setSpacing(2)
        foot.addWidget(self.facts, 1)
        for part in (
            self.back_button, self.page_label, self.forth_button, self.again_button,
            self.copy_button,
        ):  # fmt: skip
            foot.addWidget(part, 0, Qt.AlignmentFlag.AlignBottom)
        self.page_label.setContentsMargins(0, 0, 0, 6)
        self.facts.setContentsMargins(0, 0, 8, 5)
        self.body.addLayout(foot)

    def _connect(self) -> None:
        actions = {
            "retry": self.retry_button,
            "shorter": self.shorter_button,
            "continue": self.continue_button,
            "back": self.back_button,
            "forth": self.forth_button,
            "again": self.again_button,
        }
        for action, button in actions.items():
            button.clicked.connect(lambda _=False, a=action: self.asked.emit(a))
        self.copy_button.clicked.connect(lambda: copy_text(self._column.answer.text))

    def set_named(self, named: bool) -> None:
        """Say who answered."""
        if named != self._named:
            self._named = named
            self.refresh()

    def set_powers(self, *, last: bool, can_ask: bool, can_go_on: bool) -> None:
        """What may be asked for now: only the last answer can be written again."""
        self._last, self._can_ask, self._can_go_on = last, can_ask, can_go_on
        self._show_buttons()

    def refresh(self) -> None:
        """Show what the answer holds now."""
        answer = self._column.answer
        self.set_title(answer.model if self._named else "")
        self.thought.show_answer(answer)
        said = bool(answer.text or answer.reasoning)
        self.waiting.setVisible(answer.running and not said and answer.retry_at_s is None)
        self.waiting.setText("." * (1 + int(time.monotonic() * 2) % 3))
        self.text.show_text(answer.text)
        self.text.setVisible(bool(answer.text.strip()))
        self._show_problem(answer)
        facts = self._words.facts(answer)
        self.facts.setText(" · ".join(_unbroken(f) for f in facts))
        self.facts.setAccessibleName(", ".join(facts))
        self.facts.setToolTip(self._words.explained(answer) if answer.prompt_tokens else "")
        self._show_buttons()

    def _show_problem(self, answer: Answer) -> None:
        words = ""
        set_role(self.problem, "error" if answer.retry_at_s is None else "warning")
        if answer.problem is not None and answer.retry_at_s is not None:
            left = math.ceil(max(0.0, answer.retry_at_s - time.monotonic()))
            words = self._words.waiting(answer.problem, left)
        elif answer.problem is not None:
            words = self._words.problem(answer.problem, partial=bool(answer.text))
        self.problem.setText(words)
        self.problem.setToolTip(answer.problem.words if answer.problem else "")
        self.problem.setVisible(bool(words))

    def _show_buttons(self) -> None:
        answer, pages = self._column.answer, len(self._column.versions)
        free = self._last and self._can_ask and not answer.running
        failed = answer.problem is not None and not answer.running
        too_long = failed and answer.problem is not None and answer.problem.code == TOO_LONG
        self.retry_button.setVisible(failed and self._last and not too_long)
        self.retry_button.setEnabled(free)
        self.shorter_button.setVisible(too_long)
        self.continue_button.setVisible(self._can_go_on and not answer.running)
        for part in (self.back_button, self.page_label, self.forth_button):
            part.setVisible(pages > 1)
        self.page_label.setText(f"{self._column.shown + 1}/{pages}")
        self.back_button.setEnabled(not answer.running and self._column.shown > 0)
        self.forth_button.setEnabled(not answer.running and self._column.shown < pages - 1)
        self.again_button.setVisible(free and not failed)
        self.copy_button.setVisible(bool(answer.text) and not answer.running)

    def retranslate(self) -> None:
        """All texts."""
        self.retry_button.set_text(self.tr("Try again"))
        self.shorter_button.set_text(
            self.tr("Shorter conversation"),
            self.tr("Begin a new one with this question; the present one stays if you saved it"),
        )
        self.continue_button.set_text(
            self.tr("Continue"), self.tr("Let the model write on from here")
        )
        self.back_button.set_text(self.tr("Earlier version"))
        self.forth_button.set_text(self.tr("Later version"))
        self.again_button.set_text(self.tr("Answer again; this version stays"))
        self.copy_button.set_text(self.tr("Copy the answer"))
        self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)


class TurnView(QWidget):
    """A question and its answers, side by side when there are several and room for them."""

    asked = Signal(str, int)
    """What, and in which column (0 for the question)."""

    def __init__(self, turn: Turn, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.turn = turn
        self.answers: list[AnswerBubble] = []
        self._shown: list[Column] = []
        self.question = QuestionBubble(turn.question)
        self.question.asked.connect(lambda what: self.asked.emit(what, 0))
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(GAP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.question)
        column.addLayout(self._row)
        self.refresh()

    def refresh(self) -> None:
        """Show the answers as they are now; other columns than before are drawn anew."""
        if [id(c) for c in self._shown] != [id(c) for c in self.turn.columns]:
            self._rebuild()
        for bubble in self.answers:
            bubble.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Under each other where there is no room beside."""
        super().resizeEvent(event)
        wide = event.size().width() >= _SIDE_BY_SIDE_PX
        way = QBoxLayout.Direction
        self._row.setDirection(way.LeftToRight if wide else way.TopToBottom)

    def _rebuild(self) -> None:
        for bubble in self.answers:
            self._row.removeWidget(bubble)
            bubble.hide()
            bubble.deleteLater()
        self._shown = list(self.turn.columns)
        named = len(self._shown) > 1
        self.answers = [AnswerBubble(c, named) for c in self._shown]
        for number, bubble in enumerate(self.answers):
            bubble.asked.connect(lambda what, n=number: self.asked.emit(what, n))
            self._row.addWidget(bubble, 1)

"""A conversation with local APIs: turns, streaming, stop, versions, edits. No widgets in here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from app import aio
from app.viewmodels.chat_client import ApiFailed, Problem, Target, model_names
from app.viewmodels.chat_stream import go_on, write
from app.viewmodels.chat_turns import Answer, ChatSettings, Column, Turn, messages_for
from core.chats import Conversation
from core.chats.conversation import new_chat_id, title_of

__all__ = [
    "Answer",
    "ApiFailed",
    "ChatModel",
    "ChatSettings",
    "Problem",
    "Target",
    "Turn",
    "model_names",
]

_MOST_UNDO = 20


class ChatModel(QObject):
    """`ask` streams answers into the last turn; `changed` comes with every piece."""

    changed = Signal()
    """The text or state of the last turn."""
    turns_changed = Signal()
    """Turns came or went, or an answer got a version."""
    busy_changed = Signal()
    settled = Signal()
    """The last of the answers under way is over."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.turns: list[Turn] = []
        self.settings = ChatSettings()
        self.targets: tuple[Target, ...] = ()
        """Who answers: one, or several side by side."""
        self.chat = Conversation(chat_id=new_chat_id())
        """Name and times; its turns are those of `turns` only in `document()`."""
        self._undo: list[list[Turn]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def models(self) -> tuple[str, ...]:
        """Names of those who answer."""
        return tuple(t.model for t in self.targets)

    @property
    def busy(self) -> bool:
        """An answer is being written."""
        return bool(self._tasks)

    @property
    def can_ask(self) -> bool:
        """There is somebody to ask and nothing under way."""
        return bool(self.targets) and not self.busy

    @property
    def can_undo(self) -> bool:
        """An edit or a deletion can be taken back."""
        return bool(self._undo) and not self.busy

    # asking

    def ask(self, question: str) -> None:
        """Put a question; nothing happens while an answer runs or without a server."""
        if self.can_ask and question.strip():
            self.turns.append(Turn(question.strip()))
            self._answer(self.turns[-1])

    def edit(self, turn: Turn, question: str) -> None:
        """Ask something else instead; what follows is replaced, and `undo` brings it back."""
        if self.can_ask and question.strip() and turn in self.turns:
            self._remember()
            self.turns = [*self.turns[: self.turns.index(turn)], Turn(question.strip())]
            self._answer(self.turns[-1])

    def regenerate(self, column: int | None = None) -> None:
        """Answer the last question again, in one column or in all; earlier versions stay."""
        if self.can_ask and self.turns:
            self._answer(self.turns[-1], column)

    def go_on(self, column: int) -> None:
        """Let the last answer of a column be written on from where it was cut."""
        target = self._target_of(column)
        if not self.can_ask or not self.turns or target is None:
            return
        messages = messages_for(self.turns, column, self.settings.system)
        answer = self.turns[-1].columns[column].answer
        self._spawn(go_on(answer, target, messages, self._limits(), self.changed.emit))
        self.turns_changed.emit()
        self.busy_changed.emit()

    def can_go_on(self, turn: Turn, column: int) -> bool:
        """A cut answer of the last turn; one held to a form would lose its form."""
        last = bool(self.turns) and turn is self.turns[-1] and self.can_ask
        if not last or self._target_of(column) is None or self.settings.form != "text":
            return False
        answer = turn.columns[column].answer
        return bool(answer.text or answer.reasoning) and answer.finish != "stop"

    def stop(self) -> None:
        """Leave the streams; what is written stays."""
        for task in self._tasks:
            task.cancel()

    # changing what was said

    def delete(self, turn: Turn) -> None:
        """Take out a question with its answers; `undo` brings it back."""
        if not self.busy and turn in self.turns:
            self._remember()
            self.turns = [t for t in self.turns if t is not turn]
            self.turns_changed.emit()

    def undo(self) -> None:
        """Take back the last edit or deletion."""
        if self.can_undo:
            self.turns = self._undo.pop()
            self.turns_changed.emit()

    def clear(self) -> None:
        """Forget the conversation and begin another."""
        self.open(Conversation(chat_id=new_chat_id()))

    # files

    def open(self, chat: Conversation) -> None:
        """Go on with a kept conversation; who answers stays as it is."""
        self.stop()
        self.chat = chat
        self.turns = [Turn.of(t) for t in chat.turns]
        self._undo = []
        self.turns_changed.emit()

    def show(self, turns: list[Turn]) -> None:
        """A conversation from elsewhere, as a new one."""
        self.clear()
        self.turns = turns
        self.turns_changed.emit()

    def document(self) -> Conversation:
        """The conversation as it stands now, for a file."""
        title = self.chat.title
        if not self.chat.named:
            title = title_of(self.turns[0].question) if self.turns else ""
        return self.chat.model_copy(
            update={
                "title": title,
                "updated_utc": time.time(),
                "system": self.settings.system,
                "parameters": self.settings.document(),
                "turns": tuple(t.document() for t in self.turns),
            }
        )

    # inner

    def _answer(self, turn: Turn, only: int | None = None) -> None:
        if only is None:
            turn.columns += [Column() for _ in self.targets[len(turn.columns) :]]
        numbers = range(len(self.targets)) if only is None else [only]
        for number in numbers:
            target = self._target_of(number)
            if target is None:
                continue
            answer = Answer(target.model)
            turn.columns[number].add(answer)
            messages = messages_for(self.turns, number, self.settings.system)
            self._spawn(write(answer, target, messages, self.settings, self.changed.emit))
        self.turns_changed.emit()
        self.busy_changed.emit()

    def _target_of(self, column: int) -> Target | None:
        return self.targets[column] if column < len(self.targets) else None

    def _limits(self) -> ChatSettings:
        return replace(self.settings, form="text")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = aio.spawn(work)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        for turn in self.turns:
            for column in turn.columns:
                _close_unstarted(column, any_left=bool(self._tasks))
        self.changed.emit()
        if not self._tasks:
            self.busy_changed.emit()
            self.settled.emit()

    def _remember(self) -> None:
        self._undo = [*self._undo[1 - _MOST_UNDO :], list(self.turns)]


def _close_unstarted(column: Column, *, any_left: bool) -> None:
    """A task that was cancelled before its first step never ran the lines that end its answer."""
    for answer in column.versions:
        if answer.running and not any_left:
            answer.running, answer.finish = False, "stopped"
            answer.ended_s = time.monotonic()

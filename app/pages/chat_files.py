"""Saving, keeping and exporting the conversation of a chat page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from app.pages.base import AppContext
from app.viewmodels.chat import ChatModel
from core import atomic_io
from core.chats import (
    ChatStore,
    Conversation,
    MarkdownWords,
    as_json,
    as_markdown,
    as_training,
)
from core.errors import ErrorInfo


class ChatFiles(QObject):
    """Every file is written off the UI thread, whole or not at all."""

    def __init__(
        self, ctx: AppContext, chat: ChatModel, store: ChatStore,
        failed: Callable[[ErrorInfo], None], parent: QWidget,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._ctx, self._chat, self._store, self._failed = ctx, chat, store, failed
        self._parent = parent
        self.saved_ids: set[str] = set()
        """Conversations that are in the folder: later turns go there too."""
        chat.settled.connect(self.keep)
        chat.turns_changed.connect(self.keep)

    def save(self, done: Callable[[], None]) -> None:
        """The user's word."""

        def said(_: object) -> None:
            self._ctx.notify(self.tr("The conversation was saved"), "ok")
            done()

        self._save(self._chat.document(), said)

    def keep(self) -> None:
        """After each answer and change, where the user wants it kept or saved it before."""
        wanted = self._ctx.settings.value.keep_chats or self._chat.chat.chat_id in self.saved_ids
        if wanted and self._chat.turns and not self._chat.busy:
            self._save(self._chat.document(), lambda _: None)

    def bring_back(self, chat: Conversation, done: Callable[[], None]) -> None:
        """One that was deleted."""
        self._save(chat, lambda _: done())

    def forget(self, chat_id: str) -> None:
        """It was deleted: what is said further on is not written there again."""
        self.saved_ids.discard(chat_id)

    def _save(self, chat: Conversation, done: Callable[[object], None]) -> None:
        self.saved_ids.add(chat.chat_id)
        self._ctx.background.run(self, lambda: self._store.save(chat), done, self._failed)

    # export

    def export(self, kind: str) -> None:
        """Ask where to, and write: "markdown", "json" or "training"."""
        endings = {"markdown": "md", "json": "json", "training": "jsonl"}
        filters = {
            "markdown": self.tr("Markdown (*.md)"),
            "json": self.tr("JSON (*.json)"),
            "training": self.tr("Training data (*.jsonl)"),
        }
        name = _file_name(self._chat.document().title) + "." + endings[kind]
        path, _ = QFileDialog.getSaveFileName(
            self._parent, self.tr("Export the conversation"), str(Path.home() / name), filters[kind]
        )
        if path:
            self.export_to(kind, Path(path))

    def export_to(self, kind: str, path: Path) -> None:
        """Write it there and say so."""
        chat = self._chat.document()
        words = MarkdownWords(self.tr("Question"), self.tr("System prompt"), self.tr("Thought"))
        texts: dict[str, Callable[[], str]] = {
            "markdown": lambda: as_markdown(chat, words),
            "json": lambda: as_json(chat),
            "training": lambda: as_training(chat),
        }
        text = texts[kind]()
        if not text:
            self._ctx.notify(
                self.tr("There is no complete answer yet: nothing to train on."), "warning"
            )
            return
        done = self._training_written if kind == "training" else self._written
        work = lambda: atomic_io.write_text(path, text)  # noqa: E731
        self._ctx.background.run(self, work, lambda _: done(path), self._failed)

    def _written(self, path: Path) -> None:
        self._ctx.notify(self.tr("Exported to {path}").format(path=path), "ok")

    def _training_written(self, path: Path) -> None:
        self._ctx.notify(
            self.tr(
                "{path}: one sample a model that answered, with the system prompt and complete "
                "answers, without thoughts. Correct what should not be learned."
            ).format(path=path.name),
            "ok",
            action=self.tr("Open on the Data page"),
            on_action=lambda: self._open_data(path),
        )

    def _open_data(self, path: Path) -> None:
        known = self._ctx.settings.value.data_paths
        if str(path) not in known:
            self._ctx.settings.change(data_paths=(*known, str(path)))
        self._ctx.navigate("data", data=str(path))


def _file_name(title: str) -> str:
    kept = "".join(c if c.isalnum() or c in " -_" else " " for c in title)
    return " ".join(kept.split())[:40] or "chat"

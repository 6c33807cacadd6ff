"""Conversations that were kept: found again, opened, renamed, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QLineEdit, QVBoxLayout, QWidget

from app.background import Background
from app.text import time_text
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.deploy_fields import Switch
from app.widgets.labels import label
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.chats import ChatStore, ChatSummary, Conversation
from core.errors import ErrorInfo


class SavedChats(QWidget):
    """Reads the folder when it is shown; every file is touched off the UI thread."""

    opened = Signal(object)
    """A `Conversation`."""
    deleted = Signal(object)
    """The `Conversation` that was: saving it again brings it back."""
    renamed = Signal(object)
    failed = Signal(object)
    """ErrorInfo."""
    keep_changed = Signal(bool)

    def __init__(
        self, store: ChatStore, background: Background, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._background = store, background
        self._all: list[ChatSummary] = []
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.list = TwoLineList()
        self.none = label("", "muted", wrap=True)
        self.open_button = Button(icon_name="folder-open-outline")
        self.rename_button = Button(kind="icon", icon_name="pencil-outline")
        self.delete_button = Button(kind="icon", icon_name="delete-outline")
        self.keep = Switch(False)
        self._lay_out()
        self._connect()
        self.retranslate()

    def _lay_out(self) -> None:
        tools = QHBoxLayout()
        tools.setSpacing(2)
        tools.addWidget(self.open_button)
        tools.addStretch(1)
        tools.addWidget(self.rename_button)
        tools.addWidget(self.delete_button)
        card, settings = Card(), Card()
        card.body.addWidget(self.search)
        card.body.addWidget(self.list, 1)
        card.body.addWidget(self.none)
        card.body.addLayout(tools)
        settings.body.addWidget(self.keep)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(GAP)
        column.addWidget(card, 1)
        column.addWidget(settings)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._show)
        self.list.doubleClicked.connect(self._open)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.list.selectionModel().currentChanged.connect(self._show_buttons)
        self._delete_key = QAction(self)
        self._delete_key.setShortcut("Delete")
        self._delete_key.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self._delete_key.triggered.connect(self.delete)
        self.list.addAction(self._delete_key)
        self.list.activated.connect(self._open)
        self.open_button.clicked.connect(self._open)
        self.rename_button.clicked.connect(self._ask_name)
        self.delete_button.clicked.connect(self.delete)
        self.keep.toggled.connect(self.keep_changed)

    # reading

    def refresh(self) -> None:
        """Look what is there."""
        self._background.run(self, self._store.list, self._listed, self.failed.emit)

    def _listed(self, found: list[ChatSummary]) -> None:
        self._all = found
        self._show()

    def _show(self) -> None:
        found = [c for c in self._all if c.matches(self.search.text())]
        self.list.set_rows([self._row(c) for c in found])
        self.list.setVisible(bool(found))
        self.none.setVisible(not found)
        self.none.setText(
            self.tr("Nothing matches.")
            if self._all
            else self.tr("No conversation was saved yet. “Save” above the conversation keeps it.")
        )
        self._show_buttons()

    def _row(self, chat: ChatSummary) -> TwoLine:
        models = ", ".join(chat.models)
        return TwoLine(
            row_id=chat.chat_id,
            title=chat.title or self.tr("Without a title"),
            subtitle=" · ".join(w for w in (time_text(chat.updated_utc), models) if w),
            icon_name="message-text-outline",
        )

    def _show_buttons(self) -> None:
        chosen = bool(self.list.chosen_id) and bool(self.list.rows)
        for button in (self.open_button, self.rename_button, self.delete_button):
            button.setEnabled(chosen)
        self.search.setEnabled(bool(self._all))

    # actions

    def _open(self) -> None:
        if chat_id := self.list.chosen_id:
            self._run(lambda: self._store.load(chat_id), self.opened.emit)

    def _ask_name(self) -> None:
        chosen = next((c for c in self._all if c.chat_id == self.list.chosen_id), None)
        if chosen is None:
            return
        name, sure = QInputDialog.getText(
            self, self.tr("Rename the conversation"), self.tr("Title"), text=chosen.title
        )
        if sure and name.strip():
            self.rename(name)

    def rename(self, title: str) -> None:
        """Give the chosen one another title."""
        chat_id = self.list.chosen_id
        self._run(lambda: self._store.rename(chat_id, title), self._renamed)

    def _renamed(self, chat: Conversation) -> None:
        self.refresh()
        self.renamed.emit(chat)

    def delete(self) -> None:
        """Remove the chosen one; who hears `deleted` can offer to bring it back."""
        if chat_id := self.list.chosen_id:
            self._run(lambda: self._store.delete(chat_id), self._deleted)

    def _deleted(self, chat: Conversation) -> None:
        self.refresh()
        self.deleted.emit(chat)

    def _run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._background.run(self, work, done, self._failed)

    def _failed(self, error: ErrorInfo) -> None:
        self.refresh()
        self.failed.emit(error)

    # words

    def retranslate(self) -> None:
        """All texts."""
        self.search.setPlaceholderText(self.tr("Search in all of them"))
        self.search.setAccessibleName(self.tr("Search"))
        self.list.setAccessibleName(self.tr("Saved conversations"))
        self.open_button.set_text(self.tr("Open"))
        self.rename_button.set_text(self.tr("Rename"))
        self.delete_button.set_text(self.tr("Delete"))
        self.keep.set_texts(
            self.tr("Keep conversations"),
            self.tr("Saves every conversation by itself, on this computer only. When off, one that "
                    "is not saved is gone with the window."),
        )  # fmt: skip
        self._show()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

"""What waits for a card: order it, hold it, and say what comes after the last one."""

from __future__ import annotations

from typing import get_args

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.widgets.buttons import Button
from app.widgets.card import Card, clear_layout
from app.widgets.form_row import FormRow
from app.widgets.labels import ElidedLabel
from core.errors import AppError
from core.queue import After, Queue, QueueItem


class QueueCard(Card):
    """Hidden while the queue is empty. `failed` carries an ErrorInfo, `opened` a run's id."""

    failed = Signal(object)
    opened = Signal(str)

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._ctx = ctx
        self._shown: Queue | None = None
        self.lines: dict[str, QueueLine] = {}
        self._list = QVBoxLayout()
        self._list.setSpacing(6)
        self.hold_button = Button(kind="icon", icon_name="pause")
        self.clear_button = Button(kind="link")
        self.after_box = QComboBox()
        for after in get_args(After):
            self.after_box.addItem("", after)
        self._after = FormRow(self.after_box, key="after")
        self.title_row.addWidget(self.hold_button)
        self.body.addLayout(self._list)
        self.body.addWidget(self._after)
        self.body.addWidget(self.clear_button)
        self.hold_button.clicked.connect(self._toggle_hold)
        self.clear_button.clicked.connect(lambda: self._change("clear_ended"))
        self.after_box.activated.connect(self._choose_after)
        self.setVisible(False)

    def refresh(self) -> None:
        """Show the queue as it is now."""
        queue = self._ctx.services.queue.read()
        if queue == self._shown:
            return
        self._shown = queue
        self._fill()

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self.set_title(self.tr("Queue"))
        self.clear_button.set_text(self.tr("Clear what has ended"))
        self._after.set_texts(
            self.tr("When all has ended"),
            self.tr("You are asked first, and have a minute to say no."),
        )
        words = (self.tr("Do nothing"), self.tr("Sleep"), self.tr("Switch the computer off"))
        for index, text in enumerate(words):
            self.after_box.setItemText(index, text)
        self._fill()

    def _fill(self) -> None:
        queue = self._shown or Queue()
        clear_layout(self._list)
        self.lines = {}
        for item in queue.items:
            line = QueueLine(item)
            line.wanted.connect(self._act)
            self.lines[item.item_id] = line
            self._list.addWidget(line)
        self.setVisible(bool(queue.items))
        self.clear_button.setVisible(any(i.state in ("ended", "failed") for i in queue.items))
        self.after_box.setCurrentIndex(self.after_box.findData(queue.after))
        self.hold_button.set_icon("play" if queue.held else "pause")
        self.hold_button.set_text(
            self.tr("Start again what waits") if queue.held else self.tr("Start nothing new")
        )

    def _act(self, what: str, item: QueueItem) -> None:
        if what == "open":
            self.opened.emit(item.run_id)
        elif what == "remove":
            self._change("remove", item.item_id)
        else:
            self._change("move", item.item_id, -1 if what == "up" else 1)

    def _toggle_hold(self) -> None:
        self._change("hold", not (self._shown or Queue()).held)

    def _choose_after(self) -> None:
        self._change("after", self.after_box.currentData())

    def _change(self, method: str, *arguments: object) -> None:
        try:
            getattr(self._ctx.services.queue, method)(*arguments)
        except AppError as e:
            self.failed.emit(e.info)
        self.refresh()


class QueueLine(QWidget):
    """One entry; `wanted` carries "up", "down", "remove" or "open" and the item."""

    wanted = Signal(str, object)

    def __init__(self, item: QueueItem, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._item = item
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(ElidedLabel(item.name, "body"))
        words.addWidget(ElidedLabel(self._state_text(), "muted"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addLayout(words, 1)
        self.buttons: dict[str, Button] = {}
        for what, icon, text in self._actions():
            button = Button(text, kind="icon", icon_name=icon)
            button.clicked.connect(lambda _=False, w=what: self.wanted.emit(w, self._item))
            self.buttons[what] = button
            row.addWidget(button)

    def _actions(self) -> list[tuple[str, str, str]]:
        name = self._item.name
        if self._item.state == "waiting":
            return [
                ("up", "chevron-up", self.tr("Move {name} up").format(name=name)),
                ("down", "chevron-down", self.tr("Move {name} down").format(name=name)),
                ("remove", "close", self.tr("Take {name} out").format(name=name)),
            ]
        if self._item.run_id:
            return [("open", "chart-line", self.tr("Show {name}").format(name=name))]
        return [("remove", "close", self.tr("Take {name} out").format(name=name))]

    def _state_text(self) -> str:
        if self._item.error is not None:
            language = LanguageManager.current().language
            return messages.error_text(self._item.error, language).message
        words = {
            "waiting": self.tr("waits for {device}").format(device=self._wish()),
            "started": self.tr("runs on {device}").format(device=self._item.device),
            "ended": self.tr("ended"),
            "failed": self.tr("could not be started"),
        }
        return words[self._item.state]

    def _wish(self) -> str:
        device = str(self._item.spec.get("device") or "auto")
        return self.tr("a free card") if device == "auto" else device

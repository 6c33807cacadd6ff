"""A server that is about to start: it waits for a card, or for a training to leave one."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from app.pages.base import AppContext
from app.pages.deploy_busy import Clearing
from app.widgets.buttons import Button
from app.widgets.notice_card import NoticeCard
from app.widgets.progress import Progress
from core.errors import AppError
from core.queue import QueueItem


class PendingCard(NoticeCard):
    """Hidden while nothing waits. `started` carries the run of a server that the queue started."""

    started = Signal(str)
    give_up_asked = Signal()
    failed = Signal(object)

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__("accent", parent)
        self._ctx = ctx
        self._clearing: Clearing | None = None
        self._waited: set[str] = set()
        self.item: QueueItem | None = None
        """The first server in the queue."""
        self.bar = Progress()
        self.bar.set_fraction(None)
        self.body.insertWidget(self.body.count() - 1, self.bar)
        self.cancel_button = Button(icon_name="close")
        self.add_button(self.cancel_button)
        self.cancel_button.clicked.connect(self._cancel)
        self.setVisible(False)

    def show_clearing(self, clearing: Clearing | None) -> None:
        """Room is being made, or not any more."""
        self._clearing = clearing
        self.refresh()

    def refresh(self) -> None:
        """Look at the queue; once a second is enough."""
        items = [i for i in self._ctx.services.queue.read().items if i.job == "serve"]
        self.item = next((i for i in items if i.state == "waiting"), None)
        started = [i for i in items if i.item_id in self._waited and i.state == "started"]
        failed = [i for i in items if i.item_id in self._waited and i.state == "failed"]
        self._waited = {i.item_id for i in items if i.state == "waiting"}
        self._fill()
        for item in started:
            self.started.emit(item.run_id)
        for item in failed:
            self.failed.emit(item.error)

    def _fill(self) -> None:
        self.setVisible(self._clearing is not None or self.item is not None)
        self.bar.setVisible(self._clearing is not None)
        if self._clearing is not None:
            self.set_texts(
                self.tr("“{name}” is being paused").format(name=self._clearing.name),
                self.tr("It finishes its step and gives the card free; then the API starts."),
            )
            self.cancel_button.set_text(self.tr("Do not start; let it go on"))
        elif self.item is not None:
            self.set_texts(
                self.tr("The API of {name} waits in the queue").format(name=self.item.name),
                self.tr("It starts by itself when no training is on its card any more, as long as "
                        "a window of DeepDeck is open."),
            )  # fmt: skip
            self.cancel_button.set_text(self.tr("Take it out of the queue"))

    def _cancel(self) -> None:
        if self._clearing is not None:
            self.give_up_asked.emit()
            return
        if self.item is not None:
            try:
                self._ctx.services.queue.remove(self.item.item_id)
            except AppError as e:
                self.failed.emit(e.info)
        self.refresh()

    def retranslate(self) -> None:
        """All texts."""
        self._fill()

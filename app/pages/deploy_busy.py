"""A training and a server want one card: the user says what happens, and sees it happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QHBoxLayout,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import messages
from app.i18n import LanguageManager
from app.pages.base import AppContext
from app.widgets.buttons import Button
from app.widgets.card import Card
from app.widgets.labels import label
from core.errors import AppError
from core.protocol.events import CommandAcknowledged
from core.services.serve_arbiter import Choice, Conflict, Holder
from core.supervisor import RunView

_WIDTH_PX = 540
_LOOK_MS = 300


class BusyDialog(QDialog):
    """`chosen` carries "share", "pause" or "wait"; closing it starts nothing."""

    chosen = Signal(str)

    def __init__(
        self, conflict: Conflict, *, for_training: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._conflict = conflict
        self._training = for_training
        self.heading = label("", "heading", wrap=True)
        self.facts = label("", "muted", wrap=True)
        self.buttons: dict[Choice, QRadioButton] = {}
        self.helps: dict[Choice, str] = {}
        self.go_button = Button(kind="primary")
        self.cancel_button = Button()
        self._lay_out()
        self._fill()
        self.resize(_WIDTH_PX, self.heightForWidth(_WIDTH_PX))
        self.go_button.clicked.connect(self._go)
        self.cancel_button.clicked.connect(self.reject)

    def _lay_out(self) -> None:
        self.setMinimumWidth(_WIDTH_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(10)
        column.addWidget(self.heading)
        column.addWidget(self.facts)
        group = QButtonGroup(self)
        texts = self._texts()
        for choice in self._conflict.offers:
            name, explanation = texts[choice]
            card = Card(surface="raised")
            button = QRadioButton(name)
            button.setAccessibleDescription(explanation)
            group.addButton(button)
            self.buttons[choice] = button
            self.helps[choice] = explanation
            card.body.setSpacing(2)
            card.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
            card.body.addWidget(button)
            card.body.addWidget(label(explanation, "muted", wrap=True))
            column.addWidget(card)
        self.buttons[self._conflict.offers[0]].setChecked(True)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.cancel_button)
        row.addWidget(self.go_button)
        column.addSpacing(4)
        column.addStretch(1)
        column.addLayout(row)

    @property
    def choice(self) -> Choice:
        """What is marked."""
        return next(c for c, b in self.buttons.items() if b.isChecked())

    def choose(self, choice: Choice) -> None:
        """Mark one."""
        self.buttons[choice].setChecked(True)

    def _go(self) -> None:
        self.chosen.emit(self.choice)
        self.accept()

    # words

    def _fill(self) -> None:
        conflict = self._conflict
        names = ", ".join(f"“{h.name}”" for h in conflict.holders)
        if self._training:
            self.setWindowTitle(self.tr("An API uses this card"))
            self.heading.setText(self.tr("The API {name} runs on this card").format(name=names))
        else:
            self.setWindowTitle(self.tr("A training uses this card"))
            self.heading.setText(self.tr("{name} is training on this card").format(name=names))
        self.facts.setText(self._facts())
        self.cancel_button.set_text(self.tr("Cancel"), self.tr("Start nothing"))
        self.go_button.set_text(self.tr("Do it like this"))

    def _facts(self) -> str:
        found, parts = self._conflict, []
        held = sum(h.memory_gib or 0.0 for h in found.holders)
        where = found.device.replace("cuda:", "GPU ")
        if held and found.total_gib:
            parts.append(
                self.tr("It holds {held} of {total} GiB on {device}.").format(
                    held=f"{held:.1f}", total=f"{found.total_gib:.1f}", device=where
                )
            )
        elif found.used_gib is not None and found.total_gib:
            parts.append(
                self.tr("{used} of {total} GiB on {device} are in use.").format(
                    used=f"{found.used_gib:.1f}", total=f"{found.total_gib:.1f}", device=where
                )
            )
        if found.needed_gib is not None:
            parts.append(
                self.tr("What you start needs {n} GiB at the least.").format(
                    n=f"{found.needed_gib:.1f}"
                )
            )
        return messages.sentences_text(parts, LanguageManager.current().language)

    def _texts(self) -> dict[Choice, tuple[str, str]]:
        return self._training_texts() if self._training else self._server_texts()

    def _server_texts(self) -> dict[Choice, tuple[str, str]]:
        changes = self._conflict.changes
        share = self.tr("Both get slower. It fits as it is set.")
        if changes:
            share = self.tr(
                "Both get slower. To fit, conversations are limited to {context} tokens and "
                "{batch} at a time."
            ).format(
                context=f"{changes.get('max_context_tokens', 0):,}",
                batch=changes.get("max_batch_size", 0),
            )
        return {
            "share": (self.tr("Take what is left of the card"), share),
            "pause": (
                self.tr("Pause the training and start"),
                self.tr(
                    "It finishes its step and moves to the computer's memory. You are asked to let "
                    "it go on when the API ends; nothing is lost."
                ),
            ),
            "wait": (
                self.tr("Wait in the queue"),
                self.tr("The API starts by itself when the training has ended."),
            ),
            "refuse": ("", ""),
        }

    def _training_texts(self) -> dict[Choice, tuple[str, str]]:
        return {
            "share": (
                self.tr("Train beside it"),
                self.tr("Both get slower. The forecast fits into what is free now."),
            ),
            "pause": (
                self.tr("Stop the API and train"),
                self.tr("Open requests are finished first. Start it again when you like."),
            ),
            "wait": (
                self.tr("Wait in the queue"),
                self.tr("The training starts by itself when the API has ended."),
            ),
            "refuse": ("", ""),
        }


@dataclass
class Clearing:
    """Making room before a start: trainings that pause, or servers that end."""

    holders: tuple[Holder, ...]
    stops: bool
    go: Callable[[], None] = field(repr=False)

    @property
    def name(self) -> str:
        """Whom we wait for."""
        return ", ".join(h.name for h in self.holders)


class CardQuestion(QObject):
    """Asks, makes room, and calls back. `changed` while room is being made; `failed`: ErrorInfo."""

    changed = Signal()
    failed = Signal(object)
    refused = Signal(str, str)
    """A training that would not pause, and the code of its reason."""

    def __init__(self, ctx: AppContext, parent: QWidget) -> None:
        super().__init__(parent)
        self._ctx = ctx
        self._window = parent
        self.dialog: BusyDialog | None = None
        self.clearing: Clearing | None = None
        self.paused: list[Holder] = []
        """Trainings that were paused for a server and were not let go on yet."""
        self._asked: dict[str, Holder] = {}
        ctx.bridge.run_changed.connect(self._hear)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)

    def ask(
        self,
        conflict: Conflict,
        start: Callable[[dict[str, Any]], None],
        wait: Callable[[], None],
        *,
        for_training: bool = False,
    ) -> None:
        """Put the question.

        Args:
            conflict: who is there.
            start: begins it, with fields of the spec to change first.
            wait: puts it into the queue.
            for_training: a training is to be started, and a server is there.
        """
        self.dialog = BusyDialog(conflict, for_training=for_training, parent=self._window)

        def act(choice: str) -> None:
            if choice == "share":
                start(dict(conflict.changes))
            elif choice == "wait":
                wait()
            else:
                self._make_room(conflict, lambda: start({}), stops=for_training)

        self.dialog.chosen.connect(act)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()

    def say_slowed(self, there: tuple[Holder, ...]) -> None:
        """No question on a processor, which has room for both: a word that both get slower."""
        if there:
            names = ", ".join(f"“{h.name}”" for h in there)
            text = self.tr("{names} computes on this processor too: both get slower.")
            self._ctx.notify(text.format(names=names), "warning")

    def give_up(self) -> None:
        """Do not start after all; what was paused goes on."""
        self._timer.stop()
        clearing, self.clearing = self.clearing, None
        if clearing is not None and not clearing.stops:
            self.let_go_on()
        self.changed.emit()

    def let_go_on(self) -> None:
        """Continue the trainings that were paused for a server."""
        held, self.paused = self.paused, []
        for holder in held:
            try:
                self._ctx.services.arbiter.go_on(holder.run_id)
            except AppError:
                continue  # it has ended meanwhile

    def _make_room(self, conflict: Conflict, go: Callable[[], None], *, stops: bool) -> None:
        arbiter = self._ctx.services.arbiter
        try:
            for holder in conflict.holders:
                if stops:
                    arbiter.stop_server(holder.run_id)
                else:
                    self._asked[arbiter.pause(holder.run_id)] = holder
                    self.paused.append(holder)
        except AppError as e:
            self.failed.emit(e.info)
            return
        self.clearing = Clearing(conflict.holders, stops, go)
        self._timer.start()
        self.changed.emit()

    def _hear(self, view: RunView) -> None:
        """A training that cannot leave its card says so; then nothing is started."""
        for event in view.new_events:
            if not isinstance(event, CommandAcknowledged):
                continue
            holder = self._asked.pop(event.in_reply_to or "", None)
            if holder is not None and not event.accepted:
                self.paused = [h for h in self.paused if h is not holder]
                self.give_up()
                self.refused.emit(holder.name, event.detail)

    def _look(self) -> None:
        clearing = self.clearing
        if clearing is None:
            self._timer.stop()
            return
        arbiter = self._ctx.services.arbiter
        free = arbiter.gone if clearing.stops else arbiter.gave_free
        if all(free(h.run_id) for h in clearing.holders):
            self._timer.stop()
            self.clearing = None
            self.changed.emit()
            clearing.go()

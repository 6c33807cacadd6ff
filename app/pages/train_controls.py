"""What can be asked of a run, at the right of the page's header."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.pages.train_rate import RatePopover
from app.viewmodels.train_run import TrainRunModel
from app.widgets.buttons import Button
from app.widgets.card import GAP
from app.widgets.split_button import SplitButton
from core.supervisor import RunView

Attempt = Callable[[Callable[[], object]], bool]
"""Does what a click asks; what goes wrong is shown by the page."""


class RunControls(QWidget):
    """A button is there when it makes sense and can be pressed when the worker would listen."""

    def __init__(
        self, model: TrainRunModel, attempt: Attempt, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._model = model
        self._attempt = attempt
        self.resume_button = Button(icon_name="play")
        self.rate_button = Button(icon_name="tune-variant")
        self.rate_popover = RatePopover(self)
        self.pause = SplitButton(icon_name="pause")
        self.free_action = self.pause.add_choice()
        self.save_button = Button(icon_name="content-save-outline")
        self.stop = SplitButton(kind="danger", icon_name="stop")
        self.drop_action = self.stop.add_choice()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP - 4)
        parts = (self.resume_button, self.rate_button, self.pause, self.save_button, self.stop)
        for part in parts:
            row.addWidget(part)
        self._connect()

    def _connect(self) -> None:
        model = self._model
        asks: list[tuple[Button, Callable[[], object]]] = [
            (self.resume_button, model.resume),
            (self.pause.main, model.toggle_pause),
            (self.save_button, model.save_now),
            (self.stop.main, model.stop),
        ]
        for button, ask in asks:
            button.clicked.connect(partial(self._ask, ask))
        self.free_action.triggered.connect(partial(self._ask, partial(model.pause, free_gpu=True)))
        self.drop_action.triggered.connect(partial(self._ask, partial(model.stop, save=False)))
        self.rate_button.clicked.connect(self._open_rate)
        self.rate_popover.scale_chosen.connect(self._set_scale)

    def _ask(self, ask: Callable[[], object], *_: object) -> None:
        self._attempt(ask)

    def _open_rate(self) -> None:
        view = self._model.view
        if view is None:
            return
        last = view.series.learning_rate.last
        self.rate_popover.open_at(self.rate_button, last[1] if last else None, view.state.lr_scale)

    def _set_scale(self, scale: float) -> None:
        self._attempt(lambda: self._model.set_lr_scale(scale))

    def show_run(self, view: RunView | None) -> None:
        """The run that is in front, or none."""
        self.retranslate()
        alive = view is not None and view.alive
        self.resume_button.setVisible(view is not None and self._model.can_resume)
        for part in (self.rate_button, self.pause, self.save_button, self.stop):
            part.setVisible(alive)
        if view is None or not alive:
            self.rate_popover.hide()
            return
        model = self._model
        free = model.asked is None
        self.rate_button.setEnabled(model.can_act)
        self.pause.main.setEnabled(model.can_pause and free)
        self.pause.arrow.setEnabled(model.can_pause and free)
        self.pause.arrow.setVisible(not model.paused and model.on_card)
        self.save_button.setEnabled(model.can_save and free)
        self.stop.arrow.setVisible(not view.stopping)

    def retranslate(self) -> None:
        """All words in the language that is on."""
        self._name_pause()
        self._name_stop()
        self.resume_button.set_text(
            self.tr("Resume"), self.tr("Go on from the newest checkpoint, in the same run")
        )
        self.save_button.set_text(
            self.tr("Save now"), self.tr("Write a checkpoint and go on training")
        )
        self.rate_button.set_text(
            self.tr("Learning rate"), self.tr("Change the learning rate from the next step on")
        )

    def _name_pause(self) -> None:
        paused = self._model.paused
        tooltip = self.tr("Hold after this step; the model stays loaded")
        self.pause.main.set_text(
            self.tr("Continue") if paused else self.tr("Pause"), "" if paused else tooltip
        )
        self.pause.main.set_icon("play" if paused else "pause")
        self.pause.name_arrow(self.tr("Other ways to pause"))
        self.free_action.setText(self.tr("Pause and free the GPU"))
        self.free_action.setToolTip(
            self.tr("Everything waits in the computer's memory, so that the card can do other work")
        )

    def _name_stop(self) -> None:
        view = self._model.view
        if view is not None and view.stopping:
            self.stop.main.set_text(
                self.tr("Stop faster"), self.tr("Do not wait for the step to end")
            )
        else:
            self.stop.main.set_text(
                self.tr("Stop and save"),
                self.tr("Finish the step, save a checkpoint and the adapter, then end"),
            )
        self.stop.name_arrow(self.tr("Other ways to stop"))
        self.drop_action.setText(self.tr("Stop without saving"))

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

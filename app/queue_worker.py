"""Works the queue while a window is open; asks before the computer sleeps or is switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QAbstractButton, QMessageBox, QWidget

from core.errors import AppError, ErrorInfo
from core.services import Services

if TYPE_CHECKING:  # the window opens before anything of this is needed
    from app.background import Background
    from core.hardware import power
    from core.queue import After, QueueTick
    from core.services.train import TrainPlanPreview

LOOK_MS = 1000
GRACE_S = 60


class QueueWorker(QObject):
    """One look a second; the queue's own lock lets one window act at a time."""

    changed = Signal()
    """Something was started, failed or ended."""
    failed = Signal(object)
    """ErrorInfo of an entry that could not be started, or of the queue itself."""

    def __init__(
        self,
        services: Services,
        background: Background,
        window: QWidget,
        act: Callable[[power.Action], None] | None = None,
    ) -> None:
        super().__init__(window)
        self._services = services
        self._background = background
        self._window = window
        self._act = act
        self._checking = ""
        self.farewell: Farewell | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Begin to look."""
        self._timer.start(LOOK_MS)

    def stop(self) -> None:
        """No more looks."""
        self._timer.stop()

    def look(self) -> None:
        """One look at the queue. Model and data of the next one are checked in the background."""
        if self._checking or not self._services.queue.read().items:
            return
        try:
            item = self._services.queue.startable()
            if item is None:
                self._told(self._services.queue.tick_checked(None))
                return
        except AppError as e:
            self._could_not(e.info)
            return
        self._checking = item.item_id
        from core.config.train import TrainSpec

        spec, prepare = TrainSpec.parse(item.spec), self._services.train.prepare
        self._background.run(self, lambda: prepare(spec), self._checked, self._refused)

    def _checked(self, plan: TrainPlanPreview) -> None:
        self._checking = ""
        try:
            self._told(self._services.queue.tick_checked(plan))
        except AppError as e:
            self._could_not(e.info)

    def _refused(self, error: ErrorInfo) -> None:
        item_id, self._checking = self._checking, ""
        try:
            self._services.queue.fail(item_id, error)
        except AppError as e:
            self._could_not(e.info)
            return
        self.failed.emit(error)
        self.changed.emit()

    def _told(self, found: QueueTick) -> None:
        for item in found.failed:
            if item.error is not None:
                self.failed.emit(item.error)
        if found.started or found.failed or found.finished is not None:
            self.changed.emit()
        if found.finished in ("sleep", "shut_down"):
            self._say_farewell(found.finished)

    def _could_not(self, error: ErrorInfo) -> None:
        self._timer.stop()  # said once, not every second; the next change starts it again
        self.failed.emit(error)

    def _say_farewell(self, after: After) -> None:
        action: power.Action = "sleep" if after == "sleep" else "shut_down"
        self.farewell = Farewell(action, self._perform, self._window)
        self.farewell.open()

    def _perform(self, action: power.Action) -> None:
        from core.hardware import power

        try:
            (self._act or power.perform)(action)
        except AppError as e:
            self.failed.emit(e.info)


class Farewell(QMessageBox):
    """Counts down, so that somebody who came back in time can stay."""

    def __init__(
        self, action: power.Action, act: Callable[[power.Action], None], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._action = action
        self._do = act
        self.left_s = GRACE_S
        self.setIcon(QMessageBox.Icon.Warning)
        self._now = self.addButton(self._verb(), QMessageBox.ButtonRole.AcceptRole)
        self.stay = self.addButton(self.tr("Stay on"), QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.stay)
        self.buttonClicked.connect(self._decided)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.count)
        self._timer.start(1000)
        self._say()

    def count(self) -> None:
        """A second has gone."""
        self.left_s -= 1
        self._say()
        if self.left_s <= 0:
            self._timer.stop()
            self.close()
            self._do(self._action)

    def _decided(self, button: QAbstractButton) -> None:
        self._timer.stop()
        if button is self._now:
            self._do(self._action)

    def _say(self) -> None:
        texts = {
            "sleep": self.tr("The queue is done. The computer goes to sleep in {seconds} s."),
            "shut_down": self.tr("The queue is done. The computer is switched off in {seconds} s."),
        }
        self.setText(texts[self._action].format(seconds=self.left_s))

    def _verb(self) -> str:
        return self.tr("Sleep now") if self._action == "sleep" else self.tr("Switch off now")

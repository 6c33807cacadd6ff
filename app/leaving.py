"""Closing the window while runs are alive: leave them running, stop and save, or stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QAbstractButton, QMessageBox

from app.settings_store import SettingsStore
from core.errors import AppError
from core.services import Services

if TYPE_CHECKING:
    from app.main_window import MainWindow

_POLL_MS = 200


class Leaving(QObject):
    """Asked by the window's close event. Never blocks: dialogs are opened, not executed."""

    def __init__(self, window: MainWindow, services: Services, settings: SettingsStore) -> None:
        super().__init__(window)
        self._window = window
        self._services = services
        self._settings = settings
        self._decided = False
        self.dialog: QMessageBox | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._close_when_stopped)

    def live_runs(self) -> list[str]:
        """Runs whose worker is at work."""
        supervisor = self._services.supervisor
        return [r for r in supervisor.attached if supervisor.view(r).alive]

    def may_close(self) -> bool:
        """True when the window may go now; else the question is on the screen."""
        if self._decided or not self.live_runs():
            return True
        choice = self._settings.value.on_close
        if choice == "leave":
            return True
        if choice == "stop":
            self.stop_and_close()
        elif self.dialog is None:
            self._ask()
        return False

    def stop_and_close(self) -> None:
        """Stop every run, let each save, then close."""
        for run_id in self.live_runs():
            try:
                self._services.supervisor.stop(run_id, save=True)
            except AppError:  # it ended by itself meanwhile
                continue
        self._window.notify(self.tr("Runs are saving; the window closes when they are done."))
        self._timer.start()

    def _ask(self) -> None:
        box = QMessageBox(self._window)
        box.setWindowTitle(self.tr("Close DeepDeck"))
        count = len(self.live_runs())
        box.setText(
            self.tr("One run is still at work.")
            if count == 1
            else self.tr("{count} runs are still at work.").format(count=count)
        )
        box.setInformativeText(
            self.tr("They can go on without the window; open DeepDeck again to see them.")
        )
        self._leave = box.addButton(self.tr("Leave running"), QMessageBox.ButtonRole.AcceptRole)
        self._stop = box.addButton(self.tr("Stop and save"), QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton(self.tr("Cancel"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(self._leave)
        box.setEscapeButton(stay)
        box.buttonClicked.connect(self._answered)
        box.finished.connect(self._dialog_gone)
        for button in box.buttons():
            button.setAccessibleName(button.text())
        self.dialog = box
        box.open()

    def _answered(self, button: QAbstractButton) -> None:
        if button is self._leave:
            self._close()
        elif button is self._stop:
            self.stop_and_close()

    def _dialog_gone(self, _result: int) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
            self.dialog = None

    def _close_when_stopped(self) -> None:
        if not self.live_runs():
            self._timer.stop()
            self._close()

    def _close(self) -> None:
        self._decided = True
        # After the dialog's own event is done with it.
        QTimer.singleShot(0, self._window.close)

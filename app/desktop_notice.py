"""News on the desktop while the window is in the background. Never takes the focus."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget

_SHOWN_MS = 15_000


class DesktopNotice(QObject):
    """Asks the task bar for attention, and shows a message where the desktop has a place for it.

    The icon is in the tray only as long as its message: there is nothing to do with it there.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._icon: QSystemTrayIcon | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._hide)

    def __call__(self, title: str, text: str) -> bool:
        """Say it. False when the window is in front already, so that nothing was said."""
        if self._window.isActiveWindow():
            return False
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            self._show(title, text)
        return True

    def _show(self, title: str, text: str) -> None:
        if self._icon is None:
            self._icon = QSystemTrayIcon(self._window.windowIcon(), self)
            self._icon.messageClicked.connect(self._raise)
        self._icon.show()
        self._icon.showMessage(title, text, self._window.windowIcon(), _SHOWN_MS)
        self._timer.start(_SHOWN_MS)

    def _raise(self) -> None:
        """The user clicked: now the window may come to the front."""
        self._window.showNormal() if self._window.isMinimized() else self._window.show()
        self._window.raise_()
        self._window.activateWindow()

    def _hide(self) -> None:
        if self._icon is not None:
            self._icon.hide()

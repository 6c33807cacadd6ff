"""One window a home: a second start raises the first window and ends."""

from __future__ import annotations

import getpass
import hashlib

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from core.paths import Home

_WAIT_MS = 400
_RAISE = b"raise\n"


def server_name(home: Home) -> str:
    """Differs by user and by home, so that two homes may each have a window."""
    key = f"{getpass.getuser()}|{home.root}"
    return "deepdeck-" + hashlib.sha256(key.encode()).hexdigest()[:16]


def raise_first_window(home: Home) -> bool:
    """Ask a window that is already open to come to the front; False when there is none."""
    socket = QLocalSocket()
    socket.connectToServer(server_name(home))
    if not socket.waitForConnected(_WAIT_MS):
        return False
    socket.write(_RAISE)
    socket.waitForBytesWritten(_WAIT_MS)
    socket.disconnectFromServer()
    return True


class InstanceServer(QObject):
    """Held by the first window; `raise_asked` when a second start knocks."""

    raise_asked = Signal()

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._knocked)
        name = server_name(home)
        if not self._server.listen(name):
            # A window that was killed leaves its socket behind.
            QLocalServer.removeServer(name)
            self._server.listen(name)

    @property
    def listening(self) -> bool:
        """Whether a second start would find this window."""
        return self._server.isListening()

    def close(self) -> None:
        """The window is going."""
        self._server.close()

    def _knocked(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            socket.disconnected.connect(socket.deleteLater)
            self.raise_asked.emit()

"""The warning that stands there as long as others on the network can reach the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QWidget

from app.widgets.notice_card import NoticeCard
from core.protocol.events import ServeReady
from core.services.serve_address import is_loopback, reachable_addresses

_SHOWN = 6


class ExposureCard(NoticeCard):
    """Hidden for a server (or a form) that only this computer can reach."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("warning", parent)
        self._host, self._port, self._running = "127.0.0.1", 0, False
        self.setVisible(False)

    @property
    def exposed(self) -> bool:
        """Others could reach it."""
        return not is_loopback(self._host)

    def show_server(
        self, spec: Mapping[str, Any], ready: ServeReady | None, *, lives: bool
    ) -> None:
        """A server that runs, or none any more."""
        port = int(spec.get("port") or 0)
        if ready is not None:
            port = int(ready.url.rpartition(":")[2] or port)
        self._show(str(spec.get("host") or "127.0.0.1") if lives else "127.0.0.1", port, True)

    def show_choice(self, host: str, port: int) -> None:
        """What a form would start."""
        self._show(host or "127.0.0.1", port, False)

    def _show(self, host: str, port: int, running: bool) -> None:
        if (host, port, running) != (self._host, self._port, self._running):
            self._host, self._port, self._running = host, port, running
            self._fill()
        self.setVisible(self.exposed)

    def _fill(self) -> None:
        if not self.exposed:
            return
        found = reachable_addresses(self._host, self._port)
        heading = (
            self.tr("Others on your network can reach this API")
            if self._running
            else self.tr("Others on your network will be able to reach this API")
        )
        more = "" if len(found) <= _SHOWN else " …"
        where = self.tr("Addresses: {list}").format(list="  ".join(found[:_SHOWN]) + more)
        self.set_texts(
            heading,
            where if found else "",
            self.tr(
                "Every request needs the key, but nothing is encrypted: whoever listens on the "
                "network reads along. Use it in a network that you trust, give each program a key "
                "of its own, and never forward the port to the internet."
            ),
        )

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self._fill()
        super().changeEvent(event)

"""The requests of a server as a table, newest first."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from app.theme.manager import ThemeManager
from core.protocol.events import ServeRequest

COLUMNS = ("time", "route", "tokens", "ttft", "total", "state")
_NUMBERS = {"tokens", "ttft", "total"}
_NAMES = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/generate": "generate",
}
_NO_INDEX = QModelIndex()
_Index = QModelIndex | QPersistentModelIndex


class RequestTableModel(QAbstractTableModel):
    """Shows what `RunState.requests` holds; new ones are inserted at the top in one go."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[ServeRequest] = []
        self._titles: dict[str, str] = {}
        self._words: dict[str, str] = {}

    def set_texts(self, titles: dict[str, str], words: dict[str, str]) -> None:
        """Column titles, and words for "done", "cut", "left" and "refused"."""
        self._titles, self._words = titles, words
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)
        if self._requests:
            last = self.index(len(self._requests) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def show_requests(self, requests: tuple[ServeRequest, ...]) -> None:
        """Take over what is new; `requests` are oldest first."""
        newest = self._requests[0].request_id if self._requests else None
        new: list[ServeRequest] = []
        for request in reversed(requests):
            if request.request_id == newest:
                break
            new.append(request)
        if len(new) == len(requests):  # another server, or everything moved on
            self.beginResetModel()
            self._requests = new
            self.endResetModel()
            return
        if new:
            self.beginInsertRows(QModelIndex(), 0, len(new) - 1)
            self._requests = [*new, *self._requests]
            self.endInsertRows()
        self._forget(len(requests))

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:
        """Requests."""
        return 0 if parent.isValid() else len(self._requests)

    def columnCount(self, parent: _Index = _NO_INDEX) -> int:
        """Facts of a request."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles, over numbers to the right."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._titles.get(name, name)
        return _alignment(name) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """One cell."""
        if not index.isValid() or index.row() >= len(self._requests):
            return None
        request, name = self._requests[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(request, name)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(name)
        if role == Qt.ItemDataRole.ForegroundRole and name == "state" and request.status != 200:
            tokens = ThemeManager.current().tokens
            return QColor(tokens.warning if request.status in (499, 503) else tokens.error)
        return None

    def _text(self, request: ServeRequest, name: str) -> str:
        match name:
            case "time":
                return time.strftime("%H:%M:%S", time.localtime(request.time_utc))
            case "route":
                return _NAMES.get(request.route, request.route)
            case "tokens":
                return f"{request.prompt_tokens} / {request.completion_tokens}"
            case "ttft":
                return "–" if request.ttft_ms is None else f"{request.ttft_ms:,.0f} ms"
            case "total":
                return f"{request.total_ms:,.0f} ms"
            case _:
                return self._state(request)

    def _state(self, request: ServeRequest) -> str:
        if request.status == 200:
            key = "cut" if request.finish_reason == "length" else "done"
            return self._words.get(key, key)
        if request.status == 499:
            return self._words.get("left", "left")
        return f"{self._words.get('refused', 'refused')} {request.status}"

    def _forget(self, keep: int) -> None:
        if len(self._requests) > keep:
            self.beginRemoveRows(QModelIndex(), keep, len(self._requests) - 1)
            del self._requests[keep:]
            self.endRemoveRows()


def _alignment(name: str) -> int:
    side = Qt.AlignmentFlag.AlignRight if name in _NUMBERS else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)

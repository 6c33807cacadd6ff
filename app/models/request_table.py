"""The requests of a server as a table: open ones first, then what was answered, newest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from app.theme.manager import ThemeManager
from core.protocol.events import OpenRequest, ServeRequest

COLUMNS = (
    "time", "key", "model", "route", "queue", "ttft", "total", "prompt", "answer", "speed", "state",
)  # fmt: skip
_NUMBERS = {"queue", "ttft", "total", "prompt", "answer", "speed"}
_NAMES = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/generate": "generate",
}
_LEFT = 499
CANCELLED = "cancelled"
"""Error code of a request that the owner ended by hand."""
_NO_INDEX = QModelIndex()
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class RequestRow:
    """One row; an open request has no `done` yet."""

    row_id: str
    request_id: str
    open: OpenRequest | None = None
    done: ServeRequest | None = None
    asked_utc: float = 0.0

    @property
    def failed(self) -> bool:
        """It was refused, or ended with an error; a client that left is no error of ours."""
        if self.done is None or self.done.error_code == CANCELLED:
            return False
        return self.done.status not in (200, _LEFT)


def rows_of(
    open_requests: Sequence[OpenRequest],
    requests: Sequence[ServeRequest],
    now_utc: float,
    *,
    errors_only: bool = False,
) -> list[RequestRow]:
    """What the table shows.

    Args:
        open_requests: the oldest first.
        requests: finished ones, the oldest first.
        now_utc: when the open ones were told.
        errors_only: leave out what went well.
    """
    done = [
        RequestRow(f"done {r.request_id}", r.request_id, done=r, asked_utc=r.time_utc)
        for r in reversed(requests)
    ]
    ended = {r.request_id for r in requests}
    waiting = [
        RequestRow(f"open {r.request_id}", r.request_id, open=r, asked_utc=now_utc - r.age_s)
        for r in open_requests
        if r.request_id not in ended
    ]
    return [r for r in done if r.failed] if errors_only else [*waiting, *done]


class RequestTableModel(QAbstractTableModel):
    """Takes new rows over with as little change as possible: a selected row stays selected."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[RequestRow] = []
        self._titles: dict[str, str] = {}
        self._words: dict[str, str] = {}

    def set_texts(self, titles: dict[str, str], words: dict[str, str]) -> None:
        """Column titles; words for the states "done", "cut", "left", "refused", "queued", ..."""
        self._titles, self._words = titles, words
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)
        self._redraw(0, len(self._rows) - 1)

    def row_at(self, row: int) -> RequestRow | None:
        """The request of a row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def row_of(self, request_id: str) -> int:
        """Where a request stands, -1 when it is not here."""
        return next((i for i, r in enumerate(self._rows) if r.request_id == request_id), -1)

    def show_rows(self, rows: list[RequestRow]) -> None:
        """Become these rows."""
        wanted = {r.row_id: r for r in rows}
        self._remove_missing(wanted.keys())
        kept = [r.row_id for r in self._rows]
        known = set(kept)
        if kept != [r.row_id for r in rows if r.row_id in known]:
            self.beginResetModel()
            self._rows = list(rows)
            self.endResetModel()
            return
        self._insert_new(rows, known)
        for number, row in enumerate(rows):
            if self._rows[number] != row:
                self._rows[number] = row
                self._redraw(number, number)

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:
        """Requests."""
        return 0 if parent.isValid() else len(self._rows)

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
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, name = self._rows[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._open_text(row, name) if row.open else self._done_text(row, name)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(name)
        if role == Qt.ItemDataRole.ForegroundRole and name == "state":
            return _state_color(row)
        return None

    def _open_text(self, row: RequestRow, name: str) -> str:
        request = row.open
        assert request is not None
        return {
            "time": _clock(row.asked_utc),
            "key": request.key_name,
            "model": request.model,
            "route": _NAMES.get(request.route, request.route),
            "total": f"{request.age_s:,.1f} s",
            "prompt": f"{request.prompt_tokens:,}",
            "answer": f"{request.completion_tokens:,}",
            "state": self._words.get(request.state, request.state),
        }.get(name, "–")

    def _done_text(self, row: RequestRow, name: str) -> str:
        request = row.done
        assert request is not None
        match name:
            case "time":
                return _clock(row.asked_utc)
            case "key":
                return request.key_name or "–"
            case "model":
                return request.model or "–"
            case "route":
                return _NAMES.get(request.route, request.route)
            case "queue":
                return _ms(request.queue_ms)
            case "ttft":
                return _ms(request.ttft_ms)
            case "total":
                return _ms(request.total_ms)
            case "prompt":
                return prompt_text(request)
            case "answer":
                return f"{request.completion_tokens:,}"
            case "speed":
                return speed_text(request)
            case _:
                return self._state(request)

    def _state(self, request: ServeRequest) -> str:
        if request.status == 200:
            key = {"length": "cut", "tool_calls": "tools"}.get(request.finish_reason or "", "done")
            return self._words.get(key, key)
        if request.error_code == CANCELLED:
            return self._words.get("cancelled", "cancelled")
        if request.status == _LEFT:
            return self._words.get("left", "left")
        refused = self._words.get("refused", "refused")
        return " ".join(p for p in (refused, str(request.status), request.error_code) if p)

    def _remove_missing(self, wanted: Any) -> None:
        for number in reversed(range(len(self._rows))):
            if self._rows[number].row_id not in wanted:
                self.beginRemoveRows(QModelIndex(), number, number)
                del self._rows[number]
                self.endRemoveRows()

    def _insert_new(self, rows: list[RequestRow], known: set[str]) -> None:
        start = 0
        while start < len(rows):
            end = start
            while end < len(rows) and rows[end].row_id not in known:
                end += 1
            if end > start:
                self.beginInsertRows(QModelIndex(), start, end - 1)
                self._rows[start:start] = rows[start:end]
                self.endInsertRows()
            start = end + 1

    def _redraw(self, first: int, last: int) -> None:
        if last >= first:
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))


def prompt_text(request: ServeRequest) -> str:
    """Tokens of the prompt, and in brackets those that the prefix cache knew."""
    cached = f" ({request.cached_tokens:,})" if request.cached_tokens else ""
    return f"{request.prompt_tokens:,}{cached}"


def speed_text(request: ServeRequest) -> str:
    """Tokens a second from the first token on."""
    spent_ms = request.total_ms - (request.ttft_ms or 0.0)
    if request.completion_tokens < 2 or spent_ms <= 0:
        return "–"
    return f"{(request.completion_tokens - 1) / spent_ms * 1000:,.0f}"


def _state_color(row: RequestRow) -> QColor | None:
    tokens = ThemeManager.current().tokens
    if row.open is not None:
        return QColor(tokens.muted if row.open.state == "queued" else tokens.accent)
    assert row.done is not None
    if row.done.status == 200:
        return None
    if row.done.error_code == CANCELLED:
        return QColor(tokens.muted)
    return QColor(tokens.warning if row.done.status in (_LEFT, 429, 503) else tokens.error)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"


def _clock(utc_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(utc_s))


def _alignment(name: str) -> int:
    side = Qt.AlignmentFlag.AlignRight if name in _NUMBERS else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)

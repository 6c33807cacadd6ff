"""The last lines of a log: bounded, only what is on screen is laid out, follows the end."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    QTimer,
)
from PySide6.QtWidgets import QAbstractItemView, QListView, QWidget

from app.theme.fonts import monospace_font

MAX_LINES = 20_000
_FLUSH_MS = 100


class LogModel(QAbstractListModel):
    """Lines in a ring: the oldest go when `max_lines` is reached."""

    def __init__(self, max_lines: int = MAX_LINES, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[str] = []
        self._max = max_lines

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex | None = None) -> int:
        """Lines held."""
        return 0 if parent is not None and parent.isValid() else len(self._lines)

    def data(
        self,
        index: QModelIndex | QPersistentModelIndex,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> str | None:
        """One line."""
        if role != Qt.ItemDataRole.DisplayRole or not index.isValid():
            return None
        return self._lines[index.row()]

    def append(self, lines: list[str]) -> None:
        """Add at the end in one step."""
        lines = lines[-self._max :]
        if not lines:
            return
        surplus = len(self._lines) + len(lines) - self._max
        if surplus > 0:
            self.beginRemoveRows(QModelIndex(), 0, surplus - 1)
            del self._lines[:surplus]
            self.endRemoveRows()
        first = len(self._lines)
        self.beginInsertRows(QModelIndex(), first, first + len(lines) - 1)
        self._lines.extend(lines)
        self.endInsertRows()

    def clear(self) -> None:
        """Forget all."""
        self.beginResetModel()
        self._lines.clear()
        self.endResetModel()

    def text(self) -> str:
        """All lines, for the clipboard."""
        return "\n".join(self._lines)


class LogView(QListView):
    """Shows a `LogModel`; lines are taken in ten times a second at most.

    Follows the end until the user scrolls up, and again when he comes back to it.
    """

    def __init__(self, max_lines: int = MAX_LINES, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.log = LogModel(max_lines, self)
        self.setModel(self.log)
        self.setUniformItemSizes(True)
        self.setFont(monospace_font())
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self._pending: list[str] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_FLUSH_MS)
        self._timer.timeout.connect(self.flush)

    def append(self, text: str) -> None:
        """Add one or more lines."""
        self._pending.extend(text.splitlines())
        del self._pending[: -self.log._max]
        if not self._timer.isActive():
            self._timer.start()

    def flush(self) -> None:
        """Show what was appended."""
        bar = self.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 4
        lines, self._pending = self._pending, []
        self.log.append(lines)
        if at_end:
            self.scrollToBottom()

    def clear_log(self) -> None:
        """Forget all lines."""
        self._pending.clear()
        self.log.clear()

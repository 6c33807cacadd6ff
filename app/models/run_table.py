"""The list of runs as a table. Updates are batched: one signal for all rows that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from app import messages
from app.i18n import LanguageManager
from app.text import time_text
from app.theme.manager import ThemeManager
from app.widgets.plot_ticks import format_value
from app.widgets.status_chip import STATUS_TONES
from core.runlog.index import RunSummary

_Index = QModelIndex | QPersistentModelIndex
_NO_INDEX = QModelIndex()
_NUMBERS = {"steps", "loss", "eval_loss", "created"}
_MARKS = {"neutral": "○", "accent": "●", "ok": "●", "warning": "▲", "error": "■"}

SORT_ROLE = Qt.ItemDataRole.UserRole
SEARCH_ROLE = Qt.ItemDataRole.UserRole + 1
COLUMNS = ("status", "name", "job", "model", "data", "steps", "loss", "eval_loss", "created")


class RunTableModel(QAbstractTableModel):
    """One row a run, newest first as the service gives them."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[RunSummary] = []
        self._titles: dict[str, str] = {}

    def set_titles(self, titles: dict[str, str]) -> None:
        """Column titles in the language that is on."""
        self._titles = titles
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)
        self.redraw()

    @property
    def runs(self) -> list[RunSummary]:
        """What is shown, in source order."""
        return self._runs

    def run_at(self, row: int) -> RunSummary:
        """The run of a row."""
        return self._runs[row]

    def row_of(self, run_id: str) -> int:
        """The row of a run, -1 when it is not here."""
        return next((i for i, r in enumerate(self._runs) if r.run_id == run_id), -1)

    def set_runs(self, runs: list[RunSummary]) -> None:
        """Take a new list over with as little change as possible: selections survive."""
        self._remove_missing({r.run_id for r in runs})
        known = [r.run_id for r in self._runs]
        new = [r for r in runs if r.run_id not in set(known)]
        if [r.run_id for r in runs] == [*(r.run_id for r in new), *known]:
            if new:
                self.beginInsertRows(QModelIndex(), 0, len(new) - 1)
                self._runs = [*new, *self._runs]
                self.endInsertRows()
            self._update(runs)
            return
        self.beginResetModel()
        self._runs = list(runs)
        self.endResetModel()

    def redraw(self) -> None:
        """Colors or words changed."""
        if self._runs:
            last = self.index(len(self._runs) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:
        """Runs."""
        return 0 if parent.isValid() else len(self._runs)

    def columnCount(self, parent: _Index = _NO_INDEX) -> int:
        """See `COLUMNS`."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            title = self._titles.get(COLUMNS[section], COLUMNS[section])
            # Room for the sort arrow, which Qt paints over the end of right-aligned titles.
            return title + "\u2003" if COLUMNS[section] in _NUMBERS else title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(COLUMNS[section])
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, color, sort key, and the column's name for screen readers."""
        if not index.isValid():
            return None
        run, column = self._runs[index.row()], COLUMNS[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return _text(run, column)
            case Qt.ItemDataRole.ToolTipRole:
                return _tooltip(run, column)
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{self._titles.get(column, column)}: {_text(run, column)}"
            case Qt.ItemDataRole.ForegroundRole if column == "status":
                return _color(run)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(column)
            case _ if role == SORT_ROLE:
                return _sort_key(run, column)
            case _ if role == SEARCH_ROLE:
                return " ".join((run.name, run.model, run.data, run.run_id, _text(run, "status")))
        return None

    def _remove_missing(self, wanted: set[str]) -> None:
        for row in range(len(self._runs) - 1, -1, -1):
            if self._runs[row].run_id not in wanted:
                self.beginRemoveRows(QModelIndex(), row, row)
                self._runs = [*self._runs[:row], *self._runs[row + 1 :]]
                self.endRemoveRows()

    def _update(self, runs: list[RunSummary]) -> None:
        pairs = zip(runs, self._runs, strict=True)
        changed = [i for i, (new, old) in enumerate(pairs) if new != old]
        self._runs = list(runs)
        if changed:
            last = self.index(changed[-1], len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(changed[0], 0), last)


def run_title(run: RunSummary) -> str:
    """The name, or the id of a run that has none."""
    return run.name or run.run_id


def figure_text(value: float | None) -> str:
    """A loss, or nothing while there is none."""
    return "" if value is None else format_value(value)


def _text(run: RunSummary, column: str) -> str:
    language = LanguageManager.current().language
    match column:
        case "status":
            mark = _MARKS[STATUS_TONES.get(run.status, "neutral")]
            return f"{mark} {messages.status_text(run.status, language)}"
        case "name":
            return run_title(run)
        case "job":
            return messages.job_text(run.job, language)
        case "model" | "data":
            return Path(str(getattr(run, column))).name
        case "steps":
            total = f" / {run.total_steps:,}" if run.total_steps else ""
            return f"{run.step:,}{total}" if run.step or run.total_steps else ""
        case "loss":
            return figure_text(run.last_loss)
        case "eval_loss":
            return figure_text(run.last_eval_loss)
        case _:
            return time_text(run.created_utc)


def _tooltip(run: RunSummary, column: str) -> str | None:
    if run.problem is not None:
        return messages.error_text(run.problem, LanguageManager.current().language).message
    return {"name": run.run_id, "model": run.model, "data": run.data}.get(column)


def _color(run: RunSummary) -> QColor:
    return QColor(ThemeManager.current().tokens.tone(STATUS_TONES.get(run.status, "neutral")))


def _alignment(column: str) -> int:
    side = Qt.AlignmentFlag.AlignRight if column in _NUMBERS else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)


def _sort_key(run: RunSummary, column: str) -> Any:
    match column:
        case "steps":
            return run.step
        case "loss":
            return run.last_loss if run.last_loss is not None else float("inf")
        case "eval_loss":
            return run.last_eval_loss if run.last_eval_loss is not None else float("inf")
        case "created":
            return run.created_utc
        case _:
            return _text(run, column).lower()

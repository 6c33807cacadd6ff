"""The numbers behind the plots: one row a step, for eyes, keyboard and screen readers alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from app.widgets.plot_ticks import format_duration
from core.metrics import RunSeries, Series

_Index = QModelIndex | QPersistentModelIndex
_NO_INDEX = QModelIndex()


@dataclass(frozen=True)
class Column:
    """One curve as a column."""

    key: str
    title: str
    unit: str = ""
    digits: int = 4


class MetricTableModel(QAbstractTableModel):
    """Reads the series directly: 100,000 steps take no memory and no time beyond the rows shown."""

    def __init__(self) -> None:
        super().__init__()
        self._run: RunSeries | None = None
        self._columns: list[Column] = []
        self._rows = 0
        self._cuts = 0

    def set_columns(self, columns: list[Column]) -> None:
        """Titles in the language that is on. The first column is always the step."""
        self.beginResetModel()
        self._columns = columns
        self.endResetModel()

    def set_run(self, run: RunSeries | None) -> None:
        """Show another run."""
        self.beginResetModel()
        self._run = run
        self._rows = len(run.epoch) if run else 0
        self._cuts = run.epoch.cuts if run else 0
        self.endResetModel()

    def refresh(self) -> None:
        """Take new steps in: one insertion, however many came."""
        if self._run is None:
            return
        if self._cuts != self._run.epoch.cuts:
            self.set_run(self._run)
            return
        count = len(self._run.epoch)
        if count > self._rows:
            self.beginInsertRows(QModelIndex(), self._rows, count - 1)
            self._rows = count
            self.endInsertRows()

    def step_of(self, row: int) -> int:
        """The optimizer step of a row."""
        assert self._run is not None
        return int(self._run.epoch.xs[row])

    def row_of(self, step: float) -> int:
        """The row nearest to a step, -1 without rows."""
        found = self._run.epoch.nearest(step) if self._run else None
        return -1 if found is None else min(found, self._rows - 1)

    def rowCount(self, parent: _Index = _NO_INDEX) -> int:
        """Steps so far."""
        return 0 if parent.isValid() else self._rows

    def columnCount(self, parent: _Index = _NO_INDEX) -> int:
        """Step, and one column a curve."""
        return 0 if parent.isValid() else len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles."""
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return self._columns[section].title

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The value; screen readers get the column's name with it."""
        if not index.isValid() or self._run is None:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), self._columns[index.column()])
        if role == Qt.ItemDataRole.AccessibleTextRole:
            column = self._columns[index.column()]
            return f"{column.title} {self._text(index.row(), column)}"
        return None

    def _text(self, row: int, column: Column) -> str:
        step = self.step_of(row)
        if column.key == "step":
            return f"{step:,}"
        value = self._value(column.key, step)
        if value is None:
            return ""
        if column.key == "elapsed_s":
            return format_duration(value)
        figure = f"{value:.{column.digits}g}" if math.isfinite(value) else "NaN"
        return f"{figure} {column.unit}" if column.unit else figure

    def _value(self, key: str, step: int) -> float | None:
        assert self._run is not None
        name = "mean_eval_loss" if key == "eval_loss" else key
        return _at(getattr(self._run, name), step)


def _at(series: Series, step: int) -> float | None:
    place = int(np.searchsorted(series.xs, step))
    if place < len(series) and series.xs[place] == step:
        return float(series.ys[place])
    return math.nan if step in series.non_finite_xs else None

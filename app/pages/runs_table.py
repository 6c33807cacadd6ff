"""The table of runs: search, sort, and columns that give way on a narrow window."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from app.models.run_table import COLUMNS, SEARCH_ROLE, SORT_ROLE, RunTableModel

_LEAST_PX = 190
_ROW_PX = 32
_WIDTHS = {"status": 116, "job": 84, "steps": 110, "loss": 80, "eval_loss": 84, "created": 132}
_GIVE_WAY = ("job", "model", "data")


class RunFilter(QSortFilterProxyModel):
    """Search text over name, model, data and id; one kind of run or all."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.job = ""
        self.setSortRole(SORT_ROLE)
        self.setDynamicSortFilter(True)

    def look_for(self, text: str, job: str) -> None:
        """All words must be found, in any order."""
        self.beginFilterChange()
        self.words, self.job = text.lower().split(), job
        self.endFilterChange()

    def filterAcceptsRow(self, row: int, parent: QModelIndex | QPersistentModelIndex) -> bool:
        """Whether a run is shown."""
        model = self.sourceModel()
        assert isinstance(model, RunTableModel)
        if self.job and model.run_at(row).job != self.job:
            return False
        text = str(model.data(model.index(row, 0), SEARCH_ROLE)).lower()
        return all(word in text for word in self.words)


class RunTable(QTableView):
    """All runs; `filter` is between the model and the rows that are shown."""

    def __init__(self, model: RunTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.filter = RunFilter()
        self.filter.setSourceModel(model)
        self.setModel(self.filter)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.sortByColumn(COLUMNS.index("created"), Qt.SortOrder.DescendingOrder)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(_LEAST_PX)
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(_ROW_PX)
        self._size_columns()

    def first_row_of(self, job: str) -> int:
        """The first row that shows this kind of run, 0 when there is none."""
        model = self.filter.sourceModel()
        assert isinstance(model, RunTableModel)
        for row in range(self.filter.rowCount()):
            if model.run_at(self.filter.mapToSource(self.filter.index(row, 0)).row()).job == job:
                return row
        return 0

    def set_narrow(self, narrow: bool) -> None:
        """Leave out what the details beside the plot tell as well."""
        for column in _GIVE_WAY:
            self.setColumnHidden(COLUMNS.index(column), narrow)

    def _size_columns(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        for number, column in enumerate(COLUMNS):
            fixed = column in _WIDTHS
            mode = QHeaderView.ResizeMode.Fixed if fixed else QHeaderView.ResizeMode.Stretch
            header.setSectionResizeMode(number, mode)
            if fixed:
                header.resizeSection(number, _WIDTHS[column])

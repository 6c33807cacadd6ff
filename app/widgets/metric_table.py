"""The table beside the plots: same data, same crosshair, reachable by keyboard."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QModelIndex, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from app.models.metric_table import Column, MetricTableModel
from app.widgets.plot_scheduler import PlotScheduler
from app.widgets.plot_x_axis import XAxis
from core.metrics import RunSeries


class MetricTable(QTableView):
    """Every step of a run. The current row and the plots' crosshair move together."""

    def __init__(
        self, axis: XAxis, scheduler: PlotScheduler, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._axis = axis
        self._scheduler = scheduler
        self._run: RunSeries | None = None
        self._steps = MetricTableModel()
        self.setModel(self._steps)
        self._lay_out()
        self.selectionModel().currentRowChanged.connect(self._current_changed)
        axis.hover_changed.connect(self._hover_changed)
        self.retranslate()

    def _lay_out(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(26)
        columns = self.horizontalHeader()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        columns.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        columns.setHighlightSections(False)

    def set_run(self, run: RunSeries | None) -> None:
        """Show another run."""
        self._run = run
        self._steps.set_run(run)

    def data_changed(self) -> None:
        """Steps came in: take them over when there is time and somebody looks."""
        self._scheduler.request(self)

    def on_screen(self) -> bool:
        """Whether somebody could look."""
        return self.isVisible() and not self.window().isMinimized()

    def draw(self) -> None:
        """Take new rows in, staying at the end when the user is there."""
        bar = self.verticalScrollBar()
        at_end = bar.value() >= bar.maximum()
        self._steps.refresh()
        if at_end:
            self.scrollToBottom()

    def retranslate(self) -> None:
        """Titles in the language that is on."""
        self.setAccessibleName(self.tr("All steps as a table"))
        self._steps.set_columns(
            [
                Column("step", self.tr("Step")),
                Column("epoch", self.tr("Epoch"), digits=3),
                Column("elapsed_s", self.tr("Time")),
                Column("loss", self.tr("Loss")),
                Column("eval_loss", self.tr("Eval loss")),
                Column("grad_norm", self.tr("Grad. norm")),
                Column("learning_rate", self.tr("Learn. rate"), digits=3),
                Column("memory_gib", self.tr("Memory"), "GiB", digits=3),
                Column("tokens_per_second", self.tr("tok/s")),
            ]
        )

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while hidden."""
        super().showEvent(event)
        self._scheduler.request(self)

    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        if self.hasFocus() and current.isValid() and self._run is not None:
            step = np.array([self._steps.step_of(current.row())])
            self._axis.set_hover(float(self._axis.to_view(step, self._run)[0]))

    def _hover_changed(self) -> None:
        """The pointer moved over a plot: show that row, without taking the focus."""
        if self.hasFocus() or self._axis.hover is None or self._run is None or not self.isVisible():
            return
        step = float(self._axis.to_steps(np.array([self._axis.hover]), self._run)[0])
        if (row := self._steps.row_of(step)) >= 0:
            self.selectRow(row)

"""Several runs in one plot: choose the metric, hide and show runs, read all at the crosshair."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from app.theme.manager import ThemeManager
from app.viewmodels.runs import METRICS, CompareModel
from app.widgets.card import Card
from app.widgets.empty_state import EmptyState
from app.widgets.labels import label
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_panel import PlotPanel
from app.widgets.plot_style import DASHES, pen, role_color
from app.widgets.plot_ticks import format_value

_ID_ROLE = Qt.ItemDataRole.UserRole
_SWATCH = QSize(26, 12)
_COLORS = 6
_RAW_UP_TO = 2
"""Noise of more runs than these would hide all of them."""


class ComparePlot(QWidget):
    """One plot over `CompareModel`; the legend is a list that keys and screen readers reach."""

    export_requested = Signal(str, object)

    def __init__(self, model: CompareModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._hidden: set[str] = set()
        self._lines: dict[str, PlotLine] = {}
        self.metric_box = QComboBox()
        self._metric_label = label("", "muted")
        self._metric_label.setBuddy(self.metric_box)
        for metric in METRICS:
            self.metric_box.addItem("", metric)
        self.panel = PlotPanel(["compare"], columns=1, with_table=False)
        self.plot: MetricPlot = self.panel.plots["compare"]
        self.plot.with_legend = False
        self.plot.read_out(value_of=self._now)
        self.plot.setMinimumHeight(220)
        self.panel.tools.insertWidget(0, self._metric_label)
        self.panel.tools.insertWidget(1, self.metric_box)
        self.panel.tools.insertSpacing(2, 10)
        self.legend_card = Card()
        self.legend = QListWidget()
        self.legend.setIconSize(_SWATCH)
        self.legend.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.legend.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.legend_card.body.addWidget(self.legend)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self.nothing = EmptyState("chart-line")
        column.addWidget(self.nothing, 1)
        self._connect()
        self.retranslate()

    def _connect(self) -> None:
        self._model.changed.connect(self.rebuild)
        self._model.grew.connect(self._grew)
        self.metric_box.currentIndexChanged.connect(self.rebuild)
        self.legend.itemChanged.connect(self._item_changed)
        self.panel.axis.hover_changed.connect(self._show_values)
        self.panel.export_requested.connect(self.export_requested)
        ThemeManager.current().changed.connect(self._fill_legend)

    @property
    def chosen_metric(self) -> str:
        """Which curve of each run is shown."""
        return str(self.metric_box.currentData())

    def rebuild(self) -> None:
        """Other runs or another metric."""
        self._lines = {}
        for run_id, view in self._model.views.items():
            series = self._model.curve(run_id, self.chosen_metric)
            if series is None:
                continue
            place = self._model.place_of(run_id)
            self._lines[run_id] = PlotLine(
                series,
                view.series,
                f"series:{place % _COLORS}",
                str(view.document.get("name") or run_id),
                smooth=self.chosen_metric in ("loss", "grad_norm", "tokens_per_second"),
                bold=self.chosen_metric == "eval_loss",
                dash=DASHES[(place // _COLORS) % len(DASHES)],
                visible=run_id not in self._hidden,
                with_raw=len(self._model.views) <= _RAW_UP_TO,
            )
        self.plot.set_title(self.metric_box.currentText())
        self.plot.set_lines(list(self._lines.values()))
        self._show_life()
        if self.panel.axis.runs != self._model.runs:
            self.panel.axis.set_runs(self._model.runs)
        self._fill_legend()

    def _grew(self) -> None:
        self._show_life()
        self.panel.data_changed()

    def _show_life(self) -> None:
        """Room to grow only where something still grows; words where there is no curve at all."""
        views = self._model.views.values()
        self.panel.setVisible(bool(views))
        self.nothing.setVisible(not views)
        self.panel.axis.live = any(v.alive or not v.caught_up for v in views)

    def _fill_legend(self) -> None:
        self.legend.blockSignals(True)
        self.legend.clear()
        for run_id, view in self._model.views.items():
            item = QListWidgetItem(str(view.document.get("name") or run_id))
            item.setData(_ID_ROLE, run_id)
            item.setToolTip(run_id)
            item.setIcon(self._swatch(run_id))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            shown = run_id not in self._hidden
            item.setCheckState(Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
            self.legend.addItem(item)
        if self.legend.count():
            self.legend.setCurrentRow(0)
        self.legend.blockSignals(False)
        self.legend_card.setVisible(self.legend.count() > 0)
        self.legend.setFixedHeight(min(8, max(1, self.legend.count())) * 30 + 4)

    def _swatch(self, run_id: str) -> QIcon:
        place = self._model.place_of(run_id)
        ratio = self.devicePixelRatioF()
        picture = QPixmap(_SWATCH * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        dash = DASHES[(place // _COLORS) % len(DASHES)]
        painter.setPen(pen(role_color(f"series:{place % _COLORS}"), 2.5, dash))
        painter.drawLine(0, _SWATCH.height() // 2, _SWATCH.width(), _SWATCH.height() // 2)
        painter.end()
        return QIcon(picture)

    def _item_changed(self, item: QListWidgetItem) -> None:
        """A run is ticked on or off."""
        run_id = str(item.data(_ID_ROLE))
        shown = item.checkState() == Qt.CheckState.Checked
        (self._hidden.discard if shown else self._hidden.add)(run_id)
        if line := self._lines.get(run_id):
            line.visible = shown
            self.plot.data_changed()

    def _now(self) -> tuple[str, str]:
        """One run's value stands above the plot; those of several stand in the legend."""
        if len(self._lines) != 1:
            return "", ""
        series = next(iter(self._lines.values())).series
        return (format_value(series.last[1]) if series.last else ""), series.unit

    def _show_values(self) -> None:
        """Each run's value at the crosshair, beside its name."""
        self.legend.blockSignals(True)
        for row in range(self.legend.count()):
            item = self.legend.item(row)
            run_id = str(item.data(_ID_ROLE))
            name = str(self._model.views[run_id].document.get("name") or run_id)
            value = self._value_of(run_id)
            item.setText(f"{value}   {name}" if value else name)
        self.legend.blockSignals(False)

    def _value_of(self, run_id: str) -> str:
        axis, line = self.panel.axis, self._lines.get(run_id)
        if axis.hover is None or line is None or not len(line.series):
            return ""
        step = float(axis.to_steps(np.array([axis.hover]), line.run)[0])
        index = line.series.nearest(step)
        return "" if index is None else format_value(float(line.series.ys[index]))

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        texts = {
            "loss": self.tr("Loss"),
            "eval_loss": self.tr("Eval loss"),
            "grad_norm": self.tr("Gradient norm"),
            "learning_rate": self.tr("Learning rate"),
            "memory_gib": self.tr("Memory"),
            "tokens_per_second": self.tr("Speed"),
        }
        for index, metric in enumerate(METRICS):
            self.metric_box.setItemText(index, texts[metric])
        self._metric_label.setText(self.tr("Compare"))
        self.metric_box.setAccessibleName(self.tr("Compare"))
        self.nothing.set_texts(
            self.tr("No curves to show"),
            self.tr("Choose a training run above, or several to compare them."),
        )
        self.legend_card.set_title(self.tr("Runs in the plot"))
        self.legend.setAccessibleName(self.tr("Runs in the plot; Space hides and shows one"))
        self.plot.set_title(self.metric_box.currentText())

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

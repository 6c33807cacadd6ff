"""Linked plots with their tools: x axis, smoothing, follow, table, export."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QSlider,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app.widgets.buttons import Button
from app.widgets.card import GAP, Card
from app.widgets.labels import label
from app.widgets.metric_plot import MetricPlot
from app.widgets.metric_table import MetricTable
from app.widgets.plot_scheduler import PlotScheduler
from app.widgets.plot_x_axis import XAxis, XMode

_MODES: tuple[XMode, ...] = ("step", "epoch", "time")
_SMOOTHINGS = (0.0, 0.6, 0.9, 0.97)
"""What the key S goes round; 0.6 is where TensorBoard begins."""
DEFAULT_SMOOTHING = 0.9


class PlotPanel(QWidget):
    """Plots in a grid over one x axis; the tools act on all of them.

    Args:
        names: ids of the plots, in reading order.
        columns: plots beside each other.
        with_table: whether a table of the first run can be shown below.
    """

    export_requested = Signal(str, object)
    """("png" | "svg" | "csv", the MetricPlot, or None for all)."""

    def __init__(
        self,
        names: list[str],
        columns: int = 2,
        *,
        with_table: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.axis = XAxis(self)
        self.scheduler = PlotScheduler(self)
        self.smoothing = DEFAULT_SMOOTHING
        self.plots = {name: MetricPlot(self.axis, self.scheduler, name) for name in names}
        self.table = MetricTable(self.axis, self.scheduler)
        self._menu: QMenu | None = None
        self._make_tools(with_table)
        self._lay_out(columns)
        self._connect()
        self.set_smoothing(DEFAULT_SMOOTHING)
        self._show_follow(self.axis.follow)
        self.retranslate()

    def _make_tools(self, with_table: bool) -> None:
        self.mode_box = QComboBox()
        for mode in _MODES:
            self.mode_box.addItem("", mode)
        self._mode_label = label("", "muted")
        self._mode_label.setBuddy(self.mode_box)
        self._smooth_label = label("", "muted")
        self.smooth_slider = QSlider(Qt.Orientation.Horizontal)
        self.smooth_slider.setRange(0, 99)
        self.smooth_slider.setPageStep(10)
        self.smooth_slider.setFixedWidth(110)
        self._smooth_label.setBuddy(self.smooth_slider)
        self._smooth_value = label("", "muted")
        self._smooth_value.setMinimumWidth(30)
        self.follow_button = Button(icon_name="crosshairs-gps")
        self.table_button = Button(icon_name="table")
        self.table_button.setVisible(with_table)
        self.export_button = Button(icon_name="export-variant")
        for button in (self.follow_button, self.table_button):
            button.setCheckable(True)

    def _lay_out(self, columns: int) -> None:
        self.tools = QHBoxLayout()
        self.tools.setSpacing(8)
        left = (self._mode_label, self.mode_box)
        middle = (self._smooth_label, self.smooth_slider, self._smooth_value)
        for widget in (*left, *middle):
            self.tools.addWidget(widget)
            if widget is self.mode_box:
                self.tools.addSpacing(10)
        self.tools.addStretch(1)
        for button in (self.follow_button, self.table_button, self.export_button):
            self.tools.addWidget(button)
        self.grid = QWidget()
        grid = QGridLayout(self.grid)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(GAP)
        for number, plot in enumerate(self.plots.values()):
            grid.addWidget(plot, number // columns, number % columns)
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(GAP)
        self.split.addWidget(self.grid)
        self.table_card = Card()
        self.table_card.body.addWidget(self.table)
        self.split.addWidget(self.table_card)
        self.split.setStretchFactor(0, 3)
        self.split.setStretchFactor(1, 1)
        self.table.setMinimumHeight(150)
        self.table_card.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self.tools)
        column.addWidget(self.split, 1)

    def _connect(self) -> None:
        self.mode_box.activated.connect(self._mode_chosen)
        self.smooth_slider.valueChanged.connect(self._slider_moved)
        self.follow_button.clicked.connect(self.axis.set_follow)
        self.table_button.toggled.connect(self.table_card.setVisible)
        self.export_button.clicked.connect(self._export_menu)
        self.axis.follow_changed.connect(self._show_follow)
        for plot in self.plots.values():
            plot.menu_requested.connect(self._plot_menu)
            plot.follow_requested.connect(self._toggle_follow)
            plot.smoothing_requested.connect(self._next_smoothing)

    # Data

    def data_changed(self) -> None:
        """Some series grew."""
        for plot in self.plots.values():
            plot.data_changed()
        self.table.data_changed()

    def set_smoothing(self, weight: float) -> None:
        """0 (off) to below 1, for all plots whose lines are smoothed."""
        self.smoothing = weight
        for plot in self.plots.values():
            plot.set_smoothing(weight)
        self.smooth_slider.blockSignals(True)
        self.smooth_slider.setValue(round(weight * 100))
        self.smooth_slider.blockSignals(False)
        self._show_smoothing()

    def show_steps(self, step: int, around: int = 20) -> None:
        """Jump to a step with its neighbors, in all plots, and put the crosshair there."""
        self.axis.show_steps(step - around, step + around)
        if self.axis.runs:
            import numpy as np

            place = self.axis.to_view(np.array([step]), self.axis.runs[0])
            self.axis.set_hover(float(place[0]))

    # Texts

    def retranslate(self) -> None:
        """All texts in the language that is on."""
        self._mode_label.setText(self.tr("X axis"))
        texts = {"step": self.tr("Step"), "epoch": self.tr("Epoch"), "time": self.tr("Time")}
        for index, mode in enumerate(_MODES):
            self.mode_box.setItemText(index, texts[mode])
        self.mode_box.setAccessibleName(self.tr("X axis"))
        self._smooth_label.setText(self.tr("Smoothing"))
        self.smooth_slider.setAccessibleName(self.tr("Smoothing"))
        self.smooth_slider.setToolTip(
            self.tr("Debiased moving average as in TensorBoard; 0 is off (key S)")
        )
        self.follow_button.set_text(
            self.tr("Follow"), self.tr("Keep the newest steps in view (Space)")
        )
        self.table_button.set_text(self.tr("Table"), self.tr("The same data as a table"))
        self.export_button.set_text(self.tr("Export"), self.tr("Save pictures or all data"))
        self._show_smoothing()

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def _show_smoothing(self) -> None:
        text = f"{self.smoothing:.2f}" if self.smoothing else self.tr("off")
        self._smooth_value.setText(text)

    # Tools

    def _show_follow(self, follow: bool) -> None:
        self.follow_button.setChecked(follow)
        self.follow_button.refresh_icon()

    def _toggle_follow(self) -> None:
        self.axis.set_follow(not self.axis.follow)

    def _mode_chosen(self, index: int) -> None:
        self.axis.set_mode(_MODES[index])

    def _slider_moved(self, value: int) -> None:
        self.set_smoothing(value / 100)

    def _next_smoothing(self) -> None:
        later = [s for s in _SMOOTHINGS if s > self.smoothing + 1e-9]
        self.set_smoothing(later[0] if later else _SMOOTHINGS[0])

    def _export_menu(self) -> None:
        menu = QMenu(self)
        self._add_exports(menu, None)
        self._open(menu, self.export_button.mapToGlobal(QPoint(0, self.export_button.height())))

    def _plot_menu(self, place: QPoint) -> None:
        plot = self.sender()
        assert isinstance(plot, MetricPlot)
        menu = QMenu(self)
        self._add_views(menu, plot)
        menu.addSeparator()
        self._add_exports(menu, plot)
        self._open(menu, place)

    def _open(self, menu: QMenu, place: QPoint) -> None:
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._menu = menu
        menu.popup(place)

    def _add_views(self, menu: QMenu, plot: MetricPlot) -> None:
        show_all = menu.addAction(self.tr("Show everything"))
        show_all.triggered.connect(plot.reset)
        follow = _toggle(menu, self.tr("Follow the newest step"), self.axis.follow)
        follow.toggled.connect(self.axis.set_follow)
        log_y = _toggle(menu, self.tr("Logarithmic y axis"), plot.log_y)
        log_y.toggled.connect(plot.set_log_y)
        log_x = _toggle(menu, self.tr("Logarithmic x axis"), self.axis.log)
        log_x.toggled.connect(self.axis.set_log)
        smoothings = menu.addMenu(self.tr("Smoothing"))
        group = QActionGroup(smoothings)
        group.triggered.connect(self._smoothing_chosen)
        for weight in _SMOOTHINGS:
            text = f"{weight:.2f}" if weight else self.tr("off")
            chosen = abs(weight - self.smoothing) < 1e-9
            group.addAction(_toggle(smoothings, text, chosen, data=weight))

    def _smoothing_chosen(self, action: QAction) -> None:
        self.set_smoothing(float(action.data()))

    def _add_exports(self, menu: QMenu, plot: MetricPlot | None) -> None:
        texts = {
            "png": self.tr("Save picture (PNG, double size)"),
            "svg": self.tr("Save drawing (SVG)"),
            "csv": self.tr("Save all data (CSV)"),
        }
        for kind, text in texts.items():
            action = menu.addAction(text)
            action.setData((kind, plot))
            action.triggered.connect(self._export_chosen)

    def _export_chosen(self) -> None:
        action = self.sender()
        assert isinstance(action, QAction)
        kind, plot = action.data()
        self.export_requested.emit(kind, plot)


def _toggle(menu: QMenu, text: str, checked: bool, data: object = None) -> QAction:
    action = menu.addAction(text)
    action.setCheckable(True)
    action.setChecked(checked)
    action.setData(data)
    return action

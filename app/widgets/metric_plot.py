"""One plot: title, value of now, curves, marks, crosshair, keys and menu."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QFocusEvent, QHideEvent, QKeyEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.theme.manager import ThemeManager
from app.widgets.plot_header import PlotHeader
from app.widgets.plot_lines import LineItem, PlotLine
from app.widgets.plot_marks import Limit, MarkPainter, Marks
from app.widgets.plot_readout import Readout
from app.widgets.plot_scheduler import PlotScheduler
from app.widgets.plot_style import pen, role_color
from app.widgets.plot_view import PlotView
from app.widgets.plot_x_axis import XAxis

_DESCRIBE_EVERY_S = 2.0
_LEFT_REACH = 1.2
"""Curves that were left may take so many times the height of the living one."""


class MetricPlot(QFrame):
    """Curves over a shared x axis.

    The owner calls `set_lines` once and `data_changed` whenever a series grew; the scheduler
    decides when that is drawn. Everything that plots share (x range, crosshair, follow) is in
    the `XAxis`; smoothing, log y and menus are asked for by signal, so that the panel can keep
    all of its plots alike.
    """

    menu_requested = Signal(object)
    follow_requested = Signal()
    smoothing_requested = Signal()
    log_toggled = Signal(bool)

    def __init__(
        self, axis: XAxis, scheduler: PlotScheduler, name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.name = name
        """Stable id, for settings and exported files."""
        self.axis = axis
        self.smoothing = 0.0
        self.least_share = 0.02
        """Least height of the y range as a share of the values: noise of memory is no drama."""
        self.with_legend = True
        self._scheduler = scheduler
        self._empty_text = ""
        self._described_s = 0.0
        self._resetting = False
        self._empty = True
        self.header = PlotHeader()
        self.view = PlotView(axis)
        self._painter = MarkPainter(self.view)
        self.view.paint_foreground = self._painter.paint
        self._readout = Readout(axis, self.view, self._painter, self)
        self._lay_out()
        self._connect()
        self.retranslate()

    def _lay_out(self) -> None:
        self.setProperty("surface", "card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 6, 8, 6)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.view, 1)

    def _connect(self) -> None:
        self.axis.changed.connect(self._touched)
        self.axis.hover_changed.connect(self._hover_moved)
        self.view.y_touched.connect(self._touched)
        self.view.reset_requested.connect(self.reset)
        self.view.menu_requested.connect(self.menu_requested)
        self.view.pressed.connect(self.setFocus)
        self.view.resized.connect(self._touched)  # marks and columns are in pixels
        ThemeManager.current().changed.connect(self._recolor)

    def read_out(
        self,
        *,
        alarm_name: Callable[[str], str] | None = None,
        value_of: Callable[[], tuple[str, str]] | None = None,
    ) -> None:
        """How alarms are called, and what stands above the plot as (value, unit) instead of the
        last value of the first line.
        """
        self._readout.alarm_name = alarm_name or self._readout.alarm_name
        self._readout.value_of = value_of or self._readout.value_of

    # What is shown

    def set_title(self, title: str) -> None:
        """The name people read; also for screen readers."""
        self.header.title = title
        self.header.update()
        self.setAccessibleName(title)

    @property
    def title(self) -> str:
        """What the plot is called."""
        return self.header.title

    @property
    def lines(self) -> list[PlotLine]:
        """The curves, the main one first."""
        return [item.line for item in self._readout.items]

    @property
    def limits(self) -> list[Limit]:
        """The dashed lines."""
        return self._readout.limits

    @property
    def items(self) -> list[LineItem]:
        """The curves as they are drawn."""
        return self._readout.items

    def set_lines(self, lines: list[PlotLine], marks: Marks | None = None) -> None:
        """Replace all curves."""
        for item in self._readout.items:
            item.remove()
        self._readout.items = [LineItem(line, self.view.box) for line in lines]
        self._readout.marks = marks
        self._apply_smoothing()
        self.view.y_locked = False
        self._fit_y(force=True)
        self.data_changed()

    def set_limits(self, limits: list[Limit]) -> None:
        """Dashed lines to compare with."""
        if limits != self._readout.limits:
            self._readout.limits = limits
            self.data_changed()

    def set_smoothing(self, weight: float) -> None:
        """0 (off) to below 1, as TensorBoard's slider."""
        self.smoothing = weight
        self._apply_smoothing()
        self._touched()

    @property
    def log_y(self) -> bool:
        """The y axis is logarithmic."""
        return self.view.log_y

    def set_log_y(self, log: bool) -> None:
        """Linear or logarithmic y axis."""
        if log == self.view.log_y:
            return
        self.view.log_y = log
        self.view.y_locked = False
        self._resetting = True
        self._touched()
        self.log_toggled.emit(log)

    def data_changed(self) -> None:
        """Some series grew: draw when there is time."""
        self._scheduler.request(self)

    def reset(self) -> None:
        """All data in view, following the newest."""
        self.view.y_locked = False
        self._resetting = True
        self.axis.reset()

    def retranslate(self) -> None:
        """Words of the legend in the language that is on."""
        self._empty_text = self.tr("No values yet")
        self._readout.retranslate()
        self._touched()

    # Drawing

    def on_screen(self) -> bool:
        """Neither hidden, nor on another page, nor in a minimized window."""
        return self.isVisible() and not self.window().isMinimized()

    def draw(self) -> None:
        """Bring curves, marks and figures up to date; the scheduler calls it."""
        self.axis.keep_up()
        columns = self.view.columns
        for item in self._readout.items:
            item.draw(self.axis, columns, self.view.log_y)
        self._fit_y(force=self._resetting)
        self._resetting = False
        empty = not any(
            len(i.line.series) or i.line.series.non_finite_xs for i in self._readout.items
        )
        self.view.empty_text = self._empty_text if empty else ""
        self._painter.place(self._readout.marks, self._readout.items, self._readout.limits)
        self.view.show_ranges()
        self._place_crosshair()
        self._show_header()
        self._describe()

    def _touched(self) -> None:
        self._scheduler.request(self, touched=True)

    def _apply_smoothing(self) -> None:
        for item in self._readout.items:
            item.set_smoothing(self.smoothing)

    def _recolor(self) -> None:
        for item in self._readout.items:
            item.recolor()
        self.view.recolor()
        self.header.update()
        self._touched()

    def _fit_y(self, *, force: bool) -> None:
        """Fit the range to what is drawn, in steps: only when it overflows or wastes half."""
        if self.view.y_locked:
            return
        found = self._y_extent()
        if found is None:
            self.view.y_view = (-1.0, 1.0) if self.view.log_y else (0.0, 1.0)
            self._empty = True
            return
        low, high = found
        view_low, view_high = self.view.y_view
        fits = view_low <= low and high <= view_high
        wasteful = (high - low) < 0.4 * (view_high - view_low)
        if force or self._empty or not fits or wasteful:
            self._empty = False
            self.view.y_view = self._padded(low, high)

    def _y_extent(self) -> tuple[float, float] | None:
        parts = [item.drawn.ys for item in self._readout.items if len(item.drawn.ys)]
        finite = [p[np.isfinite(p)] for p in parts]
        finite = [p for p in finite if len(p)]
        if not finite:
            return None
        low = min(float(p.min()) for p in finite)
        high = max(float(p.max()) for p in finite)
        low, high = self._with_left(low, high)
        for limit in self._readout.limits:
            low, high = self._with_limit(low, high, limit.value)
        return low, high

    def _with_left(self, low: float, high: float) -> tuple[float, float]:
        """Show what a rollback left behind, as far as it does not press the curve flat."""
        reach = _LEFT_REACH * max(high - low, 0.05 * abs(high), 1e-12)
        for item in self._readout.items:
            ys = item.left_drawn.ys
            ys = ys[np.isfinite(ys)]
            if len(ys):
                low = min(low, max(float(ys.min()), low - reach))
                high = max(high, min(float(ys.max()), high + reach))
        return low, high

    def _with_limit(self, low: float, high: float, value: float) -> tuple[float, float]:
        """Show a limit that is near; a far one would press the curve flat."""
        if self.view.log_y:
            if value <= 0:
                return low, high
            value = math.log10(value)
        reach = 2.0 * max(high - low, 0.1 * abs(high), 1e-12)
        if low - reach <= value <= high + reach:
            return min(low, value), max(high, value)
        return low, high

    def _padded(self, low: float, high: float) -> tuple[float, float]:
        least = 0.3 if self.view.log_y else max(abs(high), abs(low)) * self.least_share or 1.0
        if high - low < least:
            middle = (low + high) / 2
            below_zero = low < 0 or self.view.log_y
            low, high = middle - least / 2, middle + least / 2
            if low < 0 and not below_zero:  # no axis of rates goes below zero
                low, high = 0.0, least
        room = 0.1 * (high - low)
        floor = low - room
        if not self.view.log_y and low >= 0:
            floor = max(0.0, floor)
        return floor, high + room

    # Figures and crosshair

    def _show_header(self) -> None:
        value, unit = self._readout.now()
        self.header.show_state(value, unit, self._readout.entries() if self.with_legend else ())

    def _place_crosshair(self) -> None:
        self._readout.place_crosshair(explain=self.view.pointed or self.hasFocus())

    def _hover_moved(self) -> None:
        if self.on_screen():
            self._place_crosshair()
            self._show_header()
            self.view.viewport().update()

    # Keys, focus, access

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space follow, L log, S smoothing, arrows crosshair, + and - zoom, Home everything."""
        match event.key():
            case Qt.Key.Key_Space:
                self.follow_requested.emit()
            case Qt.Key.Key_L:
                self.set_log_y(not self.log_y)
            case Qt.Key.Key_S:
                self.smoothing_requested.emit()
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                far = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
                self._step_crosshair(1 if event.key() == Qt.Key.Key_Right else -1, far=far)
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self._zoom(0.7)
            case Qt.Key.Key_Minus:
                self._zoom(1 / 0.7)
            case Qt.Key.Key_Home:
                self.reset()
            case Qt.Key.Key_Escape if self.axis.hover is not None:
                self.axis.set_hover(None)
            case Qt.Key.Key_Menu:
                self.menu_requested.emit(self.mapToGlobal(self.rect().center()))
            case _:
                super().keyPressEvent(event)

    def _zoom(self, factor: float) -> None:
        low, high = self.axis.view
        at = self.axis.hover if self.axis.hover is not None else (low + high) / 2
        self.axis.show_range(at + (low - at) * factor, at + (high - at) * factor)

    def _step_crosshair(self, direction: int, *, far: bool) -> None:
        """To the next point, or with Shift by a twentieth of the view."""
        if not self._readout.items or not len(self._readout.items[0].line.series):
            return
        line = self._readout.items[0].line
        index = self._readout.index_of(self._readout.items[0])
        if index is None:
            index = len(line.series) - 1
        else:
            low, high = self.axis.to_steps(np.array(self.axis.view), line.run)
            index += direction * (max(1, int((high - low) / 20)) if far else 1)
        index = min(max(index, 0), len(line.series) - 1)
        step = line.series.xs[index : index + 1]
        self.axis.set_hover(float(self.axis.to_view(step, line.run)[0]))
        self._describe(now=True)

    def _describe(self, *, now: bool = False) -> None:
        """One sentence of what is seen, for screen readers; not on each of ten redraws."""
        at = time.monotonic()
        if not now and at - self._described_s < _DESCRIBE_EVERY_S:
            return
        self._described_s = at
        text = self.sentence()
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)

    def sentence(self) -> str:
        """What the plot shows, in one sentence."""
        return self._readout.sentence(self.title)

    def changeEvent(self, event: QEvent) -> None:
        """Another language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what was missed while hidden."""
        super().showEvent(event)
        self._scheduler.shown(self)

    def hideEvent(self, event: QHideEvent) -> None:
        """No crosshair waits on a hidden page."""
        super().hideEvent(event)
        self.axis.set_hover(None)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus ring."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the focus ring."""
        super().focusOutEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The card, and a ring when the keys go here."""
        super().paintEvent(event)
        if self.hasFocus() and self.window().isActiveWindow():
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(pen(role_color("accent"), 1.5))
            painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 8, 8)

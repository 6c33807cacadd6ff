"""What a plot says in words and figures: value of now, legend, crosshair, one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QPointF

from app.widgets.plot_header import Entry
from app.widgets.plot_lines import LineItem
from app.widgets.plot_marks import Limit, Mark, MarkPainter, Marks
from app.widgets.plot_ticks import format_duration, format_value
from app.widgets.plot_view import PlotView
from app.widgets.plot_x_axis import XAxis
from core.metrics.series import Floats

_ALARM_REACH_PX = 6.0
_MOST_NOTES = 4


class Readout(QObject):
    """Reads the curves that are drawn; changes nothing but the crosshair of the mark painter."""

    def __init__(
        self, axis: XAxis, view: PlotView, painter: MarkPainter, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.items: list[LineItem] = []
        self.limits: list[Limit] = []
        self.marks: Marks | None = None
        self.value_of: Callable[[], tuple[str, str]] | None = None
        self.alarm_name: Callable[[str], str] = str
        self._axis = axis
        self._view = view
        self._painter = painter
        self._names = {"raw": "", "smoothed": ""}

    def retranslate(self) -> None:
        """Words of the legend in the language that is on."""
        self._names = {"raw": self.tr("raw"), "smoothed": self.tr("smoothed")}

    def entries(self) -> tuple[Entry, ...]:
        """What stands under the crosshair, else which line is which."""
        return self._hover_entries() or self._legend()

    def now(self) -> tuple[str, str]:
        """The large figure and its unit: under the crosshair, else the newest."""
        if not self.items:
            return "", ""
        line = self.items[0].line
        only = len(self.items) == 1 or self.value_of is None
        if only and (index := self.index_of(self.items[0])) is not None:
            return format_value(float(line.series.ys[index])), line.series.unit
        if self.value_of is not None:
            return self.value_of()
        last = line.series.last
        return (format_value(last[1]), line.series.unit) if last else ("", "")

    def _legend(self) -> tuple[Entry, ...]:
        entries = []
        for item in self.items:
            line = item.line
            if not line.visible or not len(line.series):
                continue
            if item.smoothing and len(self.items) <= 3 and item is self.items[0]:
                entries.append(Entry(self._names["raw"], line.role, faint=True))
                entries.append(Entry(self._names["smoothed"], line.role, line.dash))
            elif len(self.items) > 1:
                entries.append(Entry(line.name, line.role, line.dash))
        unseen = (*self._painter.homeless, *self._far_limits())
        return (*entries, *(Entry(limit.text, limit.role, (4.0, 3.0)) for limit in unseen))

    def _far_limits(self) -> list[Limit]:
        homeless = self._painter.homeless
        return [
            limit
            for limit in self.limits
            if limit not in homeless and self._painter.limit_pixel(limit) is None
        ]

    def _hover_entries(self) -> tuple[Entry, ...]:
        entries = []
        for number, item in enumerate(self.items):
            if not item.line.visible or (index := self.index_of(item)) is None:
                continue
            raw, smoothed = item.values_at(index)
            if smoothed is not None:
                text = f"{self._names['smoothed']} {format_value(smoothed)}"
                entries.append(Entry(text, item.line.role, item.line.dash))
            if number:
                entries.append(Entry(f"{item.line.name} {format_value(raw)}", item.line.role))
        return (*self._alarms_here(), *entries)

    def _marks_here(self) -> list[Mark]:
        """What happened where the crosshair is, gravest first."""
        if self.marks is None or self._axis.hover is None:
            return []
        found = self.marks.gathered()
        if not found:
            return []
        steps = np.array([m.step for m in found], dtype=np.float64)
        back = np.array([m.to_step if m.to_step is not None else m.step for m in found])
        near = self._near(steps) | self._near(back)
        return [m for m, here in zip(found, near, strict=True) if here][:_MOST_NOTES]

    def _near(self, steps: Floats) -> NDArray[np.bool_]:
        assert self.marks is not None
        positions = self._axis.to_view(np.asarray(steps, dtype=np.float64), self.marks.run)
        low, high = self._axis.view
        reach = _ALARM_REACH_PX / self._view.area.width() * (high - low)
        close: NDArray[np.bool_] = np.abs(positions - (self._axis.hover or 0.0)) <= reach
        return close

    def _alarms_here(self) -> list[Entry]:
        names = dict.fromkeys(
            (self.alarm_name(m.text) if self.marks and self.marks.told is None else m.text, m.role)
            for m in self._marks_here()
            if m.kind == "alarm"
        )
        return [Entry(name, role) for name, role in names]

    def _notes(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((m.text, m.role) for m in self._marks_here() if m.text))

    def index_of(self, item: LineItem) -> int | None:
        """The point of a line that is nearest to the crosshair."""
        if self._axis.hover is None or not len(item.line.series):
            return None
        step = float(self._axis.to_steps(np.array([self._axis.hover]), item.line.run)[0])
        return item.line.series.nearest(step)

    def place_crosshair(self, *, explain: bool = False) -> None:
        """Put line, dots and the position's text where the crosshair is, or nowhere.

        Args:
            explain: say in words what happened there, for the plot that the user is at.
        """
        painter = self._painter
        painter.crosshair_points, painter.crosshair_x = [], None
        told = self.marks is not None and self.marks.told is not None
        painter.crosshair_notes = self._notes() if explain and told else []
        for item in self.items:
            index = self.index_of(item)
            if index is None or not item.line.visible:
                continue
            step = item.line.series.xs[index]
            x = float(self._axis.to_view(np.array([step]), item.line.run)[0])
            raw, smoothed = item.values_at(index)
            y = smoothed if smoothed is not None else raw
            if self._view.log_y:
                y = math.log10(y) if y > 0 else -math.inf
            if not math.isfinite(x):
                continue
            if painter.crosshair_x is None:
                painter.crosshair_x = self._view.x_pixel(x)
                painter.crosshair_text = self._position_text(step, x)
            if math.isfinite(y):
                point = QPointF(self._view.x_pixel(x), self._view.y_pixel(y))
                painter.crosshair_points.append((point, item.line.role))

    def _position_text(self, step: float, x: float) -> str:
        value = 10**x if self._axis.log else x
        if self._axis.mode == "epoch":
            return f"{value:.2f}"
        return format_duration(value) if self._axis.mode == "time" else f"{int(step):,}"

    def sentence(self, title: str) -> str:
        """What the plot shows, in one sentence."""
        if not self.items or not len(self.items[0].line.series):
            return self.tr("{title}: no values yet.").format(title=title)
        series = self.items[0].line.series
        value, unit = self.now()
        index = self.index_of(self.items[0])
        step = int(series.xs[index if index is not None else -1])
        said = self.tr("{title} {value} {unit} at step {step}, {trend}, {alarms}.")
        return said.format(
            title=title,
            value=value,
            unit=unit,
            step=step,
            trend=self._trend(),
            alarms=self._alarm_count(),
        ).replace("  ", " ")

    def _trend(self) -> str:
        ys = self.items[0].line.series.ys[-40:]
        half = len(ys) // 2
        if half < 2:
            return self.tr("just begun")
        before, after = float(ys[:half].mean()), float(ys[half:].mean())
        if abs(after - before) <= 0.02 * max(abs(before), 1e-12):
            return self.tr("steady")
        return self.tr("rising") if after > before else self.tr("falling")

    def _alarm_count(self) -> str:
        count = sum(m.kind == "alarm" for m in self.marks.gathered()) if self.marks else 0
        if not count:
            return self.tr("no alarms")
        return self.tr("1 alarm") if count == 1 else self.tr("{n} alarms").format(n=count)

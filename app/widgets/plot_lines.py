"""One curve of a plot: which data, how it looks, and its thinned picture in the view."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

import numpy as np
import pyqtgraph as pg

from app.widgets.plot_style import faint, pen, role_color
from app.widgets.plot_x_axis import XAxis
from core.metrics import RunSeries, Series, SmoothedSeries, decimate_columns
from core.metrics.series import Floats

BOLD_PX = 2.0


@dataclass
class PlotLine:
    """What a plot is asked to show."""

    series: Series
    run: RunSeries
    """Whose clock places the points on an axis of epochs or time, and whose resumes break it."""
    role: str
    """Color, see `plot_style.role_color`."""
    name: str
    smooth: bool = False
    """Follows the smoothing slider: a faint raw line below a bold smoothed one."""
    bold: bool = False
    dash: tuple[float, ...] = ()
    visible: bool = True
    with_raw: bool = True
    """Keep the raw line below the smoothed one."""


@dataclass
class Drawn:
    """The points that are on the screen now, in view coordinates."""

    xs: Floats = field(default_factory=lambda: np.empty(0))
    ys: Floats = field(default_factory=lambda: np.empty(0))


class LineItem:
    """The pyqtgraph items of one `PlotLine` and what was drawn last."""

    def __init__(self, line: PlotLine, box: pg.ViewBox) -> None:
        self.line = line
        self.smoothed = SmoothedSeries(line.series)
        self.drawn = Drawn()
        self._box = box
        self._raw = _curve()
        self._bold = _curve()
        # Segments instead of one joined path: a 2 px antialiased line is 6 times cheaper so.
        self._bold.setSegmentedLineMode("on")
        box.addItem(self._raw, ignoreBounds=True)
        box.addItem(self._bold, ignoreBounds=True)
        self.recolor()

    @property
    def smoothing(self) -> float:
        """The weight in use, 0 where this line is never smoothed."""
        return self.smoothed.weight

    def set_smoothing(self, weight: float) -> None:
        """0 (off) to below 1."""
        self.smoothed.weight = weight if self.line.smooth else 0.0
        self.recolor()

    def recolor(self) -> None:
        """Take the colors of the scheme."""
        color = role_color(self.line.role)
        self._raw.setPen(pen(faint(color)))
        self._bold.setPen(pen(color, self._bold_width(), self.line.dash))

    def remove(self) -> None:
        """Take the items out of the view."""
        for item in (self._raw, self._bold):
            self._box.removeItem(item)

    def draw(self, axis: XAxis, columns: int, log_y: bool) -> None:
        """Thin the data to the view and hand it to pyqtgraph."""
        if not self.line.visible:
            self._raw.setData(), self._bold.setData()
            self.drawn = Drawn()
            return
        series = self.line.series
        raw = self._thin(axis, self._edges(axis, columns), series.ys, log_y)
        self.drawn = raw
        if self.smoothing:
            # A line 2 px wide fills two columns at once; half as many points look the same.
            wide = self._edges(axis, max(1, columns // 2))
            bold = self._thin(axis, wide, self.smoothed.ys, log_y)
            # Thinned, it is a zigzag of vertical strokes, where antialiasing shows nothing but
            # doubles the cost.
            self._bold.opts["antialias"] = len(bold.xs) < 0.9 * columns
            self._raw.opts["antialias"] = len(raw.xs) < 1.8 * columns
            _set(self._bold, bold)
            if self.line.with_raw:
                _set(self._raw, raw)
            else:
                self._raw.setData()
                self.drawn = bold
        else:
            self._raw.setData()
            _set(self._bold, raw)

    def values_at(self, index: int) -> tuple[float, float | None]:
        """Raw and smoothed value of the point with this index."""
        raw = float(self.line.series.ys[index])
        return raw, float(self.smoothed.ys[index]) if self.smoothing else None

    def _bold_width(self) -> float:
        # Unsmoothed, the line is as dense as the raw data: wide pens would cost too much.
        if self.smoothing or self.line.bold:
            return BOLD_PX
        return 1.0 if self.line.smooth else 1.5

    def _edges(self, axis: XAxis, columns: int) -> Floats:
        low, high = axis.view
        width = (high - low) / columns
        # The grid hangs at zero, not at the view's edge: panning does not make points shimmer.
        first = np.floor(low / width)
        places = (first + np.arange(columns + 2)) * width
        return axis.to_steps(places, self.line.run)

    def _thin(self, axis: XAxis, edges: Floats, ys: Floats, log_y: bool) -> Drawn:
        steps, values = decimate_columns(self.line.series.xs, ys, edges)
        xs = axis.to_view(steps, self.line.run)
        if log_y:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        if log_y or axis.log:
            keep = np.isfinite(values) & np.isfinite(xs)
            steps, xs, values = steps[keep], xs[keep], values[keep]
        # A sparse line (evaluations) is joined over a resume: cut, it would be lone points.
        resumes = [] if self.line.bold else self.line.run.resumes
        return _broken(steps, Drawn(xs, values), resumes)


def _broken(steps: Floats, drawn: Drawn, resumes: list[int]) -> Drawn:
    """A gap where the run was cut and went on."""
    if not resumes or not len(steps):
        return drawn
    places = np.searchsorted(steps, resumes, side="right")
    places = places[(places > 0) & (places < len(steps))]
    return Drawn(np.insert(drawn.xs, places, np.nan), np.insert(drawn.ys, places, np.nan))


def _curve() -> pg.PlotCurveItem:
    return pg.PlotCurveItem(antialias=True, connect="all", skipFiniteCheck=True)


def _set(item: pg.PlotCurveItem, drawn: Drawn) -> None:
    gaps = bool(len(drawn.xs)) and bool(np.isnan(drawn.xs).any())
    item.setData(drawn.xs, drawn.ys, connect="finite" if gaps else "all", skipFiniteCheck=not gaps)

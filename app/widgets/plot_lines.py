"""One curve of a plot: which data, how it looks, and its thinned picture in the view."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

import numpy as np
import pyqtgraph as pg

from app.widgets.plot_style import faint, pen, role_color
from app.widgets.plot_x_axis import XAxis
from core.metrics import RunSeries, Series, SmoothedSeries, decimate_columns, ema
from core.metrics.series import Floats

BOLD_PX = 2.0
LEFT_SHARE = 0.42
"""How much of its color a branch keeps that the run has left."""


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
    left: Callable[[], Sequence[Series]] | None = None
    """What was measured before each rollback behind the step that it went back to, oldest first."""


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
        self.left_drawn = Drawn()
        self._left = _curve()
        self._raw = _curve()
        self._bold = _curve()
        self._left_smooth = LeftBranches()
        # Segments instead of one joined path: a 2 px antialiased line is 6 times cheaper so.
        self._bold.setSegmentedLineMode("on")
        box.addItem(self._left, ignoreBounds=True)
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
        self._left.setPen(pen(faint(color, LEFT_SHARE), 1.5))
        self._raw.setPen(pen(faint(color)))
        self._bold.setPen(pen(color, self._bold_width(), self.line.dash))

    def remove(self) -> None:
        """Take the items out of the view."""
        for item in (self._left, self._raw, self._bold):
            self._box.removeItem(item)

    def draw(self, axis: XAxis, columns: int, log_y: bool) -> None:
        """Thin the data to the view and hand it to pyqtgraph."""
        if not self.line.visible:
            for item in (self._left, self._raw, self._bold):
                item.setData()
            self.drawn = self.left_drawn = Drawn()
            return
        self._draw_left(axis, columns, log_y)
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

    def _draw_left(self, axis: XAxis, columns: int, log_y: bool) -> None:
        """All branches that were left as one faint curve with gaps."""
        branches = self.line.left() if self.line.left else ()
        if not branches and not len(self.left_drawn.xs):
            return
        edges = self._edges(axis, max(1, columns // 2))
        parts = [
            self._placed(axis, *decimate_columns(branch.xs, ys, edges), log_y)
            for branch, ys in self._left_smooth.smoothed(branches, self.smoothing)
        ]
        self.left_drawn = _joined([self._known(axis, part) for part in parts])
        _set(self._left, self.left_drawn)

    def _known(self, axis: XAxis, drawn: tuple[Floats, Drawn]) -> Drawn:
        """On an axis of epochs or time a step has no place before the run comes to it again."""
        steps, points = drawn
        if axis.mode == "step":
            return points
        keep = steps <= self.line.run.last_step
        return Drawn(points.xs[keep], points.ys[keep])

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
        found = decimate_columns(self.line.series.xs, ys, edges)
        steps, drawn = self._placed(axis, *found, log_y)
        # A sparse line (evaluations) is joined over a resume: cut, it would be lone points.
        run = self.line.run
        cuts = [] if self.line.bold else [*run.resumes, *(to_step for _, to_step in run.rollbacks)]
        return _broken(steps, drawn, sorted(cuts))

    def _placed(
        self, axis: XAxis, steps: Floats, values: Floats, log_y: bool
    ) -> tuple[Floats, Drawn]:
        """Steps and values in view coordinates; what a logarithm cannot show is left out."""
        xs = axis.to_view(steps, self.line.run)
        if log_y:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        if log_y or axis.log:
            keep = np.isfinite(values) & np.isfinite(xs)
            steps, xs, values = steps[keep], xs[keep], values[keep]
        return steps, Drawn(xs, values)


class LeftBranches:
    """Smooths each branch once: what was left does not grow any more."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._known: list[tuple[Series, int, Floats]] = []

    def smoothed(self, branches: Sequence[Series], weight: float) -> list[tuple[Series, Floats]]:
        """Each branch with the values to draw."""
        if weight != self._weight:
            self._weight, self._known = weight, []
        kept = {(id(s), v): ys for s, v, ys in self._known}
        self._known = [
            (b, b.version, kept[id(b), b.version] if (id(b), b.version) in kept else self._of(b))
            for b in branches
        ]
        return [(branch, ys) for branch, _, ys in self._known]

    def _of(self, branch: Series) -> Floats:
        return ema(branch.ys, self._weight) if self._weight else branch.ys


def _broken(steps: Floats, drawn: Drawn, cuts: list[int]) -> Drawn:
    """A gap where the run was cut and went on."""
    if not cuts or not len(steps):
        return drawn
    places = np.searchsorted(steps, cuts, side="right")
    places = places[(places > 0) & (places < len(steps))]
    return Drawn(np.insert(drawn.xs, places, np.nan), np.insert(drawn.ys, places, np.nan))


def _joined(parts: Sequence[Drawn]) -> Drawn:
    """One run of points with a gap between two parts."""
    gap = np.array([np.nan])
    xs = [piece for part in parts for piece in (part.xs, gap)][:-1]
    ys = [piece for part in parts for piece in (part.ys, gap)][:-1]
    return Drawn(np.concatenate(xs), np.concatenate(ys)) if xs else Drawn()


def _curve() -> pg.PlotCurveItem:
    return pg.PlotCurveItem(antialias=True, connect="all", skipFiniteCheck=True)


def _set(item: pg.PlotCurveItem, drawn: Drawn) -> None:
    gaps = bool(len(drawn.xs)) and bool(np.isnan(drawn.xs).any())
    item.setData(drawn.xs, drawn.ys, connect="finite" if gaps else "all", skipFiniteCheck=not gaps)

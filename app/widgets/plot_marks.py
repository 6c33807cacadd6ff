"""What lies over the curves: limits, alarms, checkpoints, rollbacks, diverged steps, crosshair.

All marks of one kind are one path, thinned to one mark a pixel, so 500 alarms cost as much as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPainterPath

from app.widgets import plot_mark_shapes as shapes
from app.widgets.plot_lines import Drawn, LineItem
from app.widgets.plot_style import font, pen, role_color
from app.widgets.plot_view import PlotView
from core.metrics import RunSeries
from core.metrics.series import Floats

_LIMIT_DASH = (5.0, 4.0)
_FEW_POINTS = 60
_POINT_PX = 2.5
_NEAR_PX = 2.0
_ARROW_TOP_PX = 5.0

MarkKind = Literal["alarm", "checkpoint", "best", "rollback", "rate"]
Gravity = Literal["note", "warning", "error"]
GRAVITY_ROLES: dict[Gravity, str] = {"note": "muted", "warning": "warning", "error": "error"}


@dataclass(frozen=True)
class Limit:
    """A horizontal line that a curve should be compared with."""

    value: float
    text: str
    role: str = "plot_limit"


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step."""

    kind: MarkKind
    step: int
    text: str = ""
    """What the hover says."""
    gravity: Gravity = "error"
    to_step: int | None = None
    """Where a rollback went back to."""

    @property
    def role(self) -> str:
        """Its color."""
        if self.kind == "alarm":
            return GRAVITY_ROLES[self.gravity]
        return {"rollback": "warning", "rate": "learning_rate"}.get(self.kind, "ok")


@dataclass
class Marks:
    """Steps of one run to mark, gathered anew for each drawing."""

    run: RunSeries
    alarms: bool = True
    checkpoints: bool = False
    rates: bool = False
    """Changes of the learning rate by hand."""
    told: Callable[[], Sequence[Mark]] | None = None
    """All marks with their words; without it those that the curves themselves remember."""

    def gathered(self) -> list[Mark]:
        """The marks that this plot shows."""
        kinds: set[MarkKind] = {"rollback"}
        kinds |= {"alarm"} if self.alarms else set()
        kinds |= {"checkpoint", "best"} if self.checkpoints else set()
        kinds |= {"rate"} if self.rates else set()
        return [m for m in (self.told or self._remembered)() if m.kind in kinds]

    def _remembered(self) -> list[Mark]:
        run = self.run
        alarms = [Mark("alarm", s, name) for name, steps in run.alarms.items() for s in steps]
        return [*alarms, *(Mark("checkpoint", s) for s in run.checkpoints)]


@dataclass
class _Back:
    """A rollback in pixels, cut to the view; None where that end is out of it."""

    left: float
    right: float
    landed: float | None


@dataclass
class _Placed:
    """Pixels of the marks in the view."""

    alarms: list[QPointF] = field(default_factory=list)
    alarm_roles: list[str] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    rates: list[QPointF] = field(default_factory=list)
    backs: list[_Back] = field(default_factory=list)
    resumes: list[float] = field(default_factory=list)
    diverged: list[float] = field(default_factory=list)


class MarkPainter:
    """Paints the foreground of one view. `place` after the curves changed, `paint` on exposure."""

    def __init__(self, view: PlotView) -> None:
        self._view = view
        self._placed = _Placed()
        self._labels: list[tuple[QRectF, Limit]] = []
        self._points: list[tuple[str, Floats, Floats]] = []
        self.homeless: list[Limit] = []
        """Limits whose label found no free place in the view; the header names them."""
        self.crosshair_points: list[tuple[QPointF, str]] = []
        self.crosshair_x: float | None = None
        self.crosshair_text = ""
        self.crosshair_notes: list[tuple[str, str]] = []
        """What happened where the pointer is: (text, color role)."""
        self._font = font(8.5)

    def place(self, marks: Marks | None, items: list[LineItem], limits: list[Limit]) -> None:
        """Compute where everything goes."""
        self._placed = self._place_marks(marks, items) if marks else _Placed()
        self._place_limits(items, limits)
        self._points = [
            (item.line.role, *self._pixels_of(item))
            for item in items
            if item.line.bold and len(item.drawn.xs) <= _FEW_POINTS
        ]

    def paint(self, painter: QPainter) -> None:
        """Draw all marks."""
        painter.setFont(self._font)
        self._paint_limits(painter)
        self._paint_resumes(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_backs(painter)
        self._paint_points(painter)
        self._paint_saved(painter)
        self._paint_diverged(painter)
        self._paint_alarms(painter)
        if self.crosshair_x is not None:
            self._paint_crosshair(painter)

    # Places

    def _place_marks(self, marks: Marks, items: list[LineItem]) -> _Placed:
        run = marks.run
        found = marks.gathered()
        of = {kind: [m for m in found if m.kind == kind] for kind in {m.kind for m in found}}
        backs = of.get("rollback", [])
        placed = _Placed(resumes=self._pixels(set(run.resumes) - {m.to_step for m in backs}, run))
        placed.checkpoints = self._pixels({m.step for m in of.get("checkpoint", [])}, run)
        placed.best = self._pixels({m.step for m in of.get("best", [])}, run)
        placed.backs = [b for m in backs if (b := self._place_back(m, run)) is not None]
        self._place_alarms(placed, of.get("alarm", []), run, items)
        rates = self._pixels({m.step for m in of.get("rate", [])}, run)
        placed.rates = self._above_curve(rates, items, lift=0.0)
        bad = {x for item in items for x in item.line.series.non_finite_xs}
        placed.diverged = self._pixels(bad, run)
        return placed

    def _place_alarms(
        self, placed: _Placed, alarms: list[Mark], run: RunSeries, items: list[LineItem]
    ) -> None:
        """The gravest of a pixel is seen."""
        graver: dict[float, str] = {}
        for gravity, role in GRAVITY_ROLES.items():
            steps = {m.step for m in alarms if m.gravity == gravity}
            graver |= dict.fromkeys(self._pixels(steps, run), role)
        placed.alarms = self._above_curve(list(graver), items)
        placed.alarm_roles = list(graver.values())

    def _place_back(self, mark: Mark, run: RunSeries) -> _Back | None:
        steps = np.array([mark.to_step or 0, mark.step], dtype=np.float64)
        ends = self._view.axis.to_view(steps, run)
        low, high = self._view.axis.view
        if not np.isfinite(ends).all() or ends[1] < low or ends[0] > high:
            return None
        left, right = (self._view.x_pixel(float(p)) for p in np.clip(ends, low, high))
        return _Back(left, right, round(left) + 0.5 if low <= ends[0] <= high else None)

    def _pixels(self, steps: Iterable[float], run: RunSeries) -> list[float]:
        """Pixels in the view, sorted, one mark a pixel."""
        ordered = np.array(sorted(steps), dtype=np.float64)
        if not ordered.size:
            return []
        positions = self._view.axis.to_view(ordered, run)
        low, high = self._view.axis.view
        seen = positions[np.isfinite(positions) & (positions >= low) & (positions <= high)]
        area = self._view.area
        places: list[float] = np.unique(
            np.round(area.left() + (seen - low) / (high - low) * area.width()) + 0.5
        ).tolist()
        return places

    def _above_curve(
        self, pixels: list[float], items: list[LineItem], lift: float = 2 * shapes.TRIANGLE_PX
    ) -> list[QPointF]:
        """Over the first curve and what is left of it from before a rollback."""
        area = self._view.area
        drawn = [self._pixels_of(items[0]), self._left_pixels(items[0])] if items else []
        places = []
        highest, lowest = area.top() + shapes.TRIANGLE_PX, area.bottom()
        for x, top in zip(pixels, _tops(pixels, drawn), strict=True):
            y = top - lift if math.isfinite(top) else highest
            y = min(max(highest, y), lowest)
            places.append(QPointF(x, y))
        return places

    def _pixels_of(self, item: LineItem) -> tuple[Floats, Floats]:
        """The drawn points in pixels."""
        return self._in_pixels(item.drawn)

    def _left_pixels(self, item: LineItem) -> tuple[Floats, Floats]:
        """The points of branches that were left, in pixels."""
        return self._in_pixels(item.left_drawn)

    def _in_pixels(self, drawn: Drawn) -> tuple[Floats, Floats]:
        view = self._view
        (x0, x1), (y0, y1), area = view.axis.view, view.y_view, view.area
        xs = area.left() + (drawn.xs - x0) / (x1 - x0) * area.width()
        ys = area.bottom() - (drawn.ys - y0) / (y1 - y0) * area.height()
        keep = np.isfinite(xs) & np.isfinite(ys)
        return xs[keep], ys[keep]

    def _place_limits(self, items: list[LineItem], limits: list[Limit]) -> None:
        self._labels, self.homeless = [], []
        if not limits:
            return
        drawn = [self._pixels_of(item) for item in items]
        for limit in limits:
            free = self._free_place(limit, drawn)
            if free is None:
                self.homeless.append(limit)
            else:
                self._labels.append((free, limit))

    def _free_place(self, limit: Limit, drawn: list[tuple[Floats, Floats]]) -> QRectF | None:
        """Beside the line, at an end or in the middle, where no curve and no label is."""
        y = self.limit_pixel(limit)
        area = self._view.area
        if y is None:
            return None
        metrics = QFontMetricsF(self._font)
        width, height = metrics.horizontalAdvance(limit.text) + 8, metrics.height()
        lefts = (area.right() - width, area.left() + 4, area.center().x() - width / 2)
        for left in lefts:
            for top in (y - height - 1, y + 2):
                place = QRectF(left, top, width, height)
                if area.contains(place) and self._is_free(place) and not _covers(place, drawn):
                    return place
        return None

    def _is_free(self, place: QRectF) -> bool:
        return not any(place.intersects(other) for other, _ in self._labels)

    def limit_pixel(self, limit: Limit) -> float | None:
        """Where the line of a limit is, or None outside of the view."""
        value = limit.value
        if self._view.log_y:
            if value <= 0:
                return None
            value = math.log10(value)
        y = self._view.y_pixel(value)
        return y if self._view.area.top() <= y <= self._view.area.bottom() else None

    # Paint

    def _paint_limits(self, painter: QPainter) -> None:
        area = self._view.area
        for limit in [*(one for _, one in self._labels), *self.homeless]:
            if (y := self.limit_pixel(limit)) is not None:
                y = round(y) + 0.5
                painter.setPen(pen(role_color(limit.role), 1.0, _LIMIT_DASH))
                painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        for place, limit in self._labels:
            painter.setPen(role_color(limit.role))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, limit.text)

    def _paint_resumes(self, painter: QPainter) -> None:
        area = self._view.area
        painter.setPen(pen(role_color("muted"), 1.0, (2.0, 3.0)))
        for x in self._placed.resumes:
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _paint_points(self, painter: QPainter) -> None:
        """The points of sparse lines: one evaluation alone would be no line and so unseen."""
        area = self._view.area.adjusted(-1, -1, 1, 1)
        for role, xs, ys in self._points:
            path = QPainterPath()
            for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
                if area.contains(x, y):
                    path.addEllipse(QPointF(x, y), _POINT_PX, _POINT_PX)
            painter.fillPath(path, role_color(role))

    def _paint_saved(self, painter: QPainter) -> None:
        """Checkpoints as dots on the axis, the best one as a star."""
        y = self._view.area.bottom() - 6
        dots = shapes.dots(QPointF(x, y) for x in self._placed.checkpoints)
        painter.fillPath(dots, role_color("ok"))
        for x in self._placed.best:
            path = shapes.star(QPointF(x, y - 1))
            painter.strokePath(path, pen(role_color("plot_background"), 3.0))
            painter.fillPath(path, role_color("ok"))

    def _paint_backs(self, painter: QPainter) -> None:
        """Along the top from where the run stood to where it went back; a line where it landed."""
        area = self._view.area
        color = role_color("warning")
        y = round(area.top() + _ARROW_TOP_PX) + 0.5
        for back in self._placed.backs:
            painter.setPen(pen(color, 1.5))
            painter.drawLine(QPointF(back.left, y), QPointF(back.right, y))
            if back.landed is not None:
                painter.fillPath(shapes.arrow_head(QPointF(back.landed, y)), color)
                painter.setPen(pen(color, 1.0, (3.0, 3.0)))
                painter.drawLine(QPointF(back.landed, y), QPointF(back.landed, area.bottom()))

    def _paint_diverged(self, painter: QPainter) -> None:
        """Red crosses on the axis: the value was not a number there."""
        y = self._view.area.bottom() - 5
        path = shapes.crosses(QPointF(x, y) for x in self._placed.diverged)
        painter.strokePath(path, pen(role_color("error"), 2.0))

    def _paint_alarms(self, painter: QPainter) -> None:
        marks = list(zip(self._placed.alarms, self._placed.alarm_roles, strict=True))
        for role in dict.fromkeys(self._placed.alarm_roles):
            path = shapes.triangles(p for p, r in marks if r == role)
            painter.fillPath(path, role_color(role))
        painter.fillPath(shapes.diamonds(self._placed.rates), role_color("learning_rate"))

    def _paint_crosshair(self, painter: QPainter) -> None:
        area, x = self._view.area, self.crosshair_x
        assert x is not None
        painter.setPen(pen(role_color("muted")))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        for place, role in self.crosshair_points:
            if area.contains(place):
                painter.setPen(pen(role_color("plot_background"), 1.5))
                painter.setBrush(role_color(role))
                painter.drawEllipse(place, 4.0, 4.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        self._paint_pill(painter, x)
        if self.crosshair_notes:
            shapes.paint_callout(painter, area, x, self.crosshair_notes)

    def _paint_pill(self, painter: QPainter, x: float) -> None:
        """Where the crosshair stands, on the axis."""
        metrics = QFontMetricsF(self._font)
        width = metrics.horizontalAdvance(self.crosshair_text) + 12
        view = self._view
        left = min(max(0.0, x - width / 2), view.width() - width)
        place = QRectF(left, view.area.bottom() + 3, width, metrics.height() + 1)
        for text in view.x_labels:  # half a number beside the pill would be misread
            if text.intersects(place.adjusted(-3, 0, 3, 0)):
                painter.fillRect(text, role_color("plot_background"))
        path = QPainterPath()
        path.addRoundedRect(place, 4, 4)
        painter.fillPath(path, role_color("border_strong"))
        painter.setPen(role_color("text"))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, self.crosshair_text)


def _tops(pixels: list[float], drawn: list[tuple[Floats, Floats]]) -> list[float]:
    """The highest point of the curves within two pixels of each place; NaN where there is none."""
    xs = np.concatenate([xs for xs, _ in drawn] or [np.empty(0)])
    ys = np.concatenate([ys for _, ys in drawn] or [np.empty(0)])
    order = np.argsort(xs, kind="stable")  # branches that were left lie over the curve
    xs, ys = xs[order], ys[order]
    at = np.array(pixels, dtype=np.float64)
    lows = np.searchsorted(xs, at - _NEAR_PX, side="left").tolist()
    highs = np.searchsorted(xs, at + _NEAR_PX, side="right").tolist()
    ends = zip(lows, highs, strict=True)
    return [float(ys[low:high].min()) if high > low else math.nan for low, high in ends]


def _covers(place: QRectF, drawn: list[tuple[Floats, Floats]]) -> bool:
    """A drawn point, or a piece of line between two, lies under the label."""
    across = np.linspace(place.left() - 4, place.right() + 4, 9)
    for xs, ys in drawn:
        if not len(xs):
            continue
        inside = ys[(xs >= across[0]) & (xs <= across[-1])]
        between = np.interp(across, xs, ys)[(across >= xs[0]) & (across <= xs[-1])]
        met = np.concatenate((inside, between))
        if met.size and met.min() <= place.bottom() + 2 and met.max() >= place.top() - 2:
            return True
    return False

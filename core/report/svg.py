"""Small line charts as inline SVG, colored by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from core.metrics import Series, decimate, ema
from core.metrics.series import Floats, Numbers

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 12, 26
_SMOOTHING = 0.9
_MAX_MARKS = 200


@dataclass(frozen=True)
class Marks:
    """Steps that stand out."""

    alarms: Sequence[int] = ()
    checkpoints: Sequence[int] = ()
    resumes: Sequence[int] = ()


@dataclass(frozen=True)
class Chart:
    """One chart: a curve over the step, and where given its evaluation and marks."""

    css_class: str
    """Names the curve's color in the style sheet."""
    label: str
    """For readers that cannot see it."""
    series: Series
    evaluations: dict[str, Series] = field(default_factory=dict)
    marks: Marks = Marks()
    smooth: bool = False
    log: bool = False
    """Logarithmic y; points that are not positive are left out."""


def render_chart(chart: Chart) -> str:
    """An `<svg>` of fixed view box; a spike of one step stays visible however long the run was."""
    xs, ys = chart.series.xs, chart.series.ys
    finite = np.isfinite(ys) & ((ys > 0) if chart.log else True)
    if not finite.any():
        return ""
    last = max(float(xs[-1]), 1.0)
    evaluated = [s.ys[np.isfinite(s.ys)] for s in chart.evaluations.values()]
    values = np.concatenate([ys[finite], *evaluated])
    place = _Place(last, float(values.min()), float(values.max()), chart.log)
    parts = [_axes(place), _curves(chart, place)]
    parts += [_evaluation(series, place) for series in chart.evaluations.values()]
    parts.append(_marks(chart, place))
    return (
        f'<svg class="{chart.css_class}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.label, quote=True)}">{"".join(parts)}</svg>'
    )


class _Place:
    """From values to pixels."""

    def __init__(self, last: float, low: float, high: float, log: bool) -> None:
        self._y: Callable[[float], float] = math.log10 if log else float
        low, high = self._y(low), self._y(high)
        spare = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-9)
        self.last, self.low, self.high, self.log = last, low - spare, high + spare, log

    def x(self, step: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * step / self.last

    def y(self, value: float) -> float:
        share = (self._y(value) - self.low) / (self.high - self.low)
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - share)

    def line(self, xs: Numbers, ys: Floats) -> str:
        fits = zip(xs.tolist(), ys.tolist(), strict=True)
        return " ".join(
            f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in fits if not self.log or y > 0
        )


def _axes(place: _Place) -> str:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for value in (
        _log_ticks(place.low, place.high) if place.log else _ticks(place.low, place.high, 4)
    ):
        y = place.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" class="end">{_figure(value)}</text>')
    for value in _ticks(0, place.last, 6):
        x = place.x(value)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" class="middle">{value:,.0f}</text>')
    return "".join(parts)


def _curves(chart: Chart, place: _Place) -> str:
    columns = WIDTH - _LEFT - _RIGHT
    xs, ys = decimate(chart.series.xs, chart.series.ys, 0, place.last + 1e-9, columns)
    raw = f'<polyline class="{"raw" if chart.smooth else "bold"}" points="{place.line(xs, ys)}"/>'
    if not chart.smooth:
        return raw
    smoothed = ema(chart.series.ys, _SMOOTHING)
    xs, ys = decimate(chart.series.xs, smoothed, 0, place.last + 1e-9, columns)
    return raw + f'<polyline class="bold" points="{place.line(xs, ys)}"/>'


def _evaluation(series: Series, place: _Place) -> str:
    points = place.line(series.xs, series.ys)
    dots = "".join(
        f'<circle class="eval-dot" cx="{x}" cy="{y}" r="3"/>'
        for x, y in (p.split(",") for p in points.split())
    )
    return f'<polyline class="eval" points="{points}"/>{dots}'


def _marks(chart: Chart, place: _Place) -> str:
    bottom = HEIGHT - _BOTTOM
    resumes = [
        f'<line class="resume" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        for x in map(place.x, chart.marks.resumes[:_MAX_MARKS])
    ]
    checkpoints = [
        f'<circle class="checkpoint" cx="{x:.1f}" cy="{bottom - 4}" r="3"/>'
        for x in map(place.x, chart.marks.checkpoints[:_MAX_MARKS])
    ]
    bad = sorted({*map(int, chart.marks.alarms), *map(int, chart.series.non_finite_xs)})
    alarms = [
        f'<path class="alarm" d="M{place.x(step) - 4:.1f} {_TOP}h8l-4 7z">'
        f"<title>{step}</title></path>"
        for step in bad[:_MAX_MARKS]
    ]
    return "".join(resumes + checkpoints + alarms)


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) between low and high."""
    raw = (high - low) / max(1, count)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values between 10**low and 10**high: decades, thinned, or finer below two of them."""
    if high - low < 1:
        return _ticks(10**low, 10**high, 4)
    every = max(1, round((high - low) / 5))
    steps = (1, 2, 5) if high - low < 2 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1, every)
    return [m * 10.0**d for d in decades for m in steps if low <= math.log10(m * 10.0**d) <= high]


def _figure(value: float) -> str:
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"

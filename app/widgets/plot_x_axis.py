"""The x axis that linked plots share: what it counts, what is in view, follow, crosshair.

Curves are stored over the optimizer step. "Axis values" are steps, epochs or seconds of training;
"view coordinates" are axis values, or their log10 on a logarithmic axis.
"""

from __future__ import annotations

import math
import time
from typing import Literal

import numpy as np
from PySide6.QtCore import QObject, Signal

from app.widgets.plot_ticks import Tick, linear_ticks, log_ticks, time_ticks
from core.metrics import RunSeries, Series
from core.metrics.series import Floats, Numbers

XMode = Literal["step", "epoch", "time"]

GROWTH = 1.2
"""A full view grows by a fifth at once: moving the range costs more than drawing the curves."""
_HOLD_S = 4.0
_MIN_POINTS_IN_VIEW = 1e-9


class XAxis(QObject):
    """One per group of linked plots; plots read it and call it, never each other."""

    changed = Signal()
    """The view or its meaning changed: draw."""
    follow_changed = Signal(bool)
    hover_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runs: list[RunSeries] = []
        self.mode: XMode = "step"
        self.log = False
        self.follow = True
        self.live = True
        """A finished run needs no room to grow."""
        self.planned_steps: int | None = None
        self.view: tuple[float, float] = (0.0, 1.0)
        self.hover: float | None = None
        """View coordinate under the crosshair."""
        self._held_until = 0.0

    def set_runs(self, runs: list[RunSeries]) -> None:
        """The runs whose curves share this axis; begins to follow."""
        self.runs = runs
        self._set_follow(True)
        self._set_view(*self._whole())
        self.set_hover(None)
        self.changed.emit()

    def set_mode(self, mode: XMode) -> None:
        """Count steps, epochs or training time."""
        if mode != self.mode:
            self.mode = mode
            self.reset()

    def set_log(self, log: bool) -> None:
        """Linear or logarithmic."""
        if log != self.log:
            self.log = log
            self.reset()

    def reset(self) -> None:
        """Show everything and follow."""
        self.set_hover(None)
        self._set_follow(True)
        self._set_view(*self._whole())
        self.changed.emit()

    def set_follow(self, follow: bool) -> None:
        """Keep the newest points in view, or stay where the user is."""
        if follow:
            self.reset()
        else:
            self._set_follow(False)

    def show_range(self, low: float, high: float) -> None:
        """The user's own view, in view coordinates; stops following."""
        low, high = self._clamped(low, high)
        self._set_follow(False)
        self._set_view(low, high)
        self.changed.emit()

    def show_steps(self, low: float, high: float) -> None:
        """Jump to some steps, for example around an alarm."""
        if self.runs:
            bounds = self.to_view(np.array([max(low, 0.0), high]), self.runs[0])
            self.show_range(float(bounds[0]), float(bounds[1]))

    def set_hover(self, position: float | None) -> None:
        """Move the crosshair of all plots, or take it away."""
        if position is not None:
            self._held_until = time.monotonic() + _HOLD_S
        if position != self.hover:
            self.hover = position
            self.hover_changed.emit()

    def keep_up(self) -> bool:
        """While following: widen the view when the curves reach its end. True when it moved.

        The view holds still while the pointer is moving over a plot.
        """
        if not self.follow or (self.hover is not None and time.monotonic() < self._held_until):
            return False
        end = self.end()
        low, high = self._values(self.view)
        used = (end - low) / (high - low)
        if self.live and (0.4 <= used <= 1.0 or end <= 0):
            return False
        return self._set_view(*self._whole())

    def end(self) -> float:
        """The newest axis value of all runs."""
        return max((self._last(run) for run in self.runs), default=0.0)

    def to_view(self, steps: Numbers, run: RunSeries) -> Floats:
        """Steps of a run as view coordinates."""
        values = self._axis_values(np.asarray(steps, dtype=np.float64), run)
        if not self.log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            logs: Floats = np.log10(values)
        return logs

    def to_steps(self, positions: Floats, run: RunSeries) -> Floats:
        """View coordinates as (fractional) steps of a run."""
        values = np.power(10.0, positions) if self.log else np.asarray(positions)
        clock = self._clock(run)
        if clock is None or not len(clock):
            return values
        inside = np.interp(values, clock.ys, clock.xs)
        first_x, first_y = float(clock.xs[0]), float(clock.ys[0])
        if first_y > 0:
            inside = np.where(values < first_y, values / first_y * first_x, inside)
        # Behind the last step nothing is known; steps go on so that columns keep rising.
        over = values > clock.ys[-1]
        steps: Floats = np.where(over, clock.xs[-1] + 1 + (values - clock.ys[-1]), inside)
        return steps

    def ticks(self, most: int) -> list[Tick]:
        """Ticks for the view."""
        low, high = self.view
        if self.log:
            return log_ticks(low, high, most)
        if self.mode == "time":
            return time_ticks(low, high, most)
        return linear_ticks(low, high, most, whole=self.mode == "step")

    def _clock(self, run: RunSeries) -> Series | None:
        return {"step": None, "epoch": run.epoch, "time": run.elapsed_s}[self.mode]

    def _axis_values(self, steps: Floats, run: RunSeries) -> Floats:
        clock = self._clock(run)
        if clock is None or not len(clock):
            return steps
        values = np.interp(steps, clock.xs, clock.ys)
        first = float(clock.xs[0])
        return np.where(steps < first, steps / max(first, 1.0) * clock.ys[0], values)

    def _last(self, run: RunSeries) -> float:
        clock = self._clock(run)
        if clock is None:
            return float(run.last_step)
        return clock.last[1] if clock.last else 0.0

    def _first_positive(self) -> float:
        if self.mode == "step":
            return 1.0
        clocks = [c for run in self.runs if (c := self._clock(run)) is not None and len(c)]
        return max(1e-6, min((float(c.ys[0]) for c in clocks), default=1.0))

    def _whole(self) -> tuple[float, float]:
        end = self.end()
        low = self._first_positive() if self.log else 0.0
        high = max(end * (GROWTH if self.live else 1.01), low * 1.5, _MIN_POINTS_IN_VIEW)
        if end <= 0:
            high = max(high, 10.0 if self.mode == "step" else 1.0)
        planned = self.planned_steps
        if self.mode == "step" and planned and end <= planned:
            high = max(low + 1, min(high, planned * 1.01))
        return (math.log10(low), math.log10(high)) if self.log else (low, high)

    def _values(self, view: tuple[float, float]) -> tuple[float, float]:
        return (10 ** view[0], 10 ** view[1]) if self.log else view

    def _clamped(self, low: float, high: float) -> tuple[float, float]:
        """Never so far out that the curves are lost, never narrower than a few points."""
        whole_low, whole_high = self._whole()
        span = whole_high - whole_low
        width = min(max(high - low, span * 1e-6), span * 1.5)
        center = min(max((low + high) / 2, whole_low - span * 0.25), whole_high + span * 0.25)
        return center - width / 2, center + width / 2

    def _set_follow(self, follow: bool) -> None:
        if follow != self.follow:
            self.follow = follow
            self.follow_changed.emit(follow)

    def _set_view(self, low: float, high: float) -> bool:
        if (low, high) == self.view:
            return False
        self.view = (low, high)
        return True

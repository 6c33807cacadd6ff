"""How long a training run will still take, honestly: with a spread, and silent before it knows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.metrics import Series, ema

_WINDOW_STEPS = 200
_LEAST_STEPS = 20
_LEAST_SECONDS = 10.0
_WEIGHT = 0.95
_BLOCKS = 8
_LEAST_SPREAD = 0.02


@dataclass(frozen=True)
class Eta:
    """Seconds that remain, give or take `spread_s`."""

    seconds: float
    spread_s: float


def remaining(step_time_s: Series, steps_left: int, extra_s: float = 0.0) -> Eta | None:
    """The time that is left, or None while it is too early to say.

    The last 200 steps are averaged with more weight on the newest (debiased moving average), so
    that a machine that became busy is believed soon. The spread is how much blocks of these steps
    differ, carried over all steps that are left: a slow hour does not average out.

    Args:
        step_time_s: seconds of each step.
        steps_left: optimizer steps to go.
        extra_s: evaluations and saves to come, in seconds.
    """
    if steps_left <= 0:
        return Eta(0.0, 0.0)
    times = step_time_s.ys[-_WINDOW_STEPS:]
    if (len(times) < _LEAST_STEPS and times.sum() < _LEAST_SECONDS) or len(times) < 3:
        return None
    per_step = float(ema(times, _WEIGHT)[-1])
    blocks = [float(b.mean()) for b in np.array_split(times, min(_BLOCKS, len(times)))]
    noise = float(np.std(blocks)) / math.sqrt(len(blocks))
    seconds = per_step * steps_left + extra_s
    return Eta(seconds, max(noise * steps_left, _LEAST_SPREAD * seconds))


class SteadyEta:
    """Says the same until the truth has left its spread: a figure that jumps is not believed."""

    def __init__(self) -> None:
        self._said: Eta | None = None
        self._at_s = 0.0

    def update(self, fresh: Eta | None, now_s: float) -> Eta | None:
        """The figure to show at `now_s` (any clock in seconds)."""
        if fresh is None or self._said is None:
            self._said, self._at_s = fresh, now_s
            return fresh
        expected = self._said.seconds - (now_s - self._at_s)
        if abs(fresh.seconds - expected) > self._said.spread_s or expected <= 0:
            self._said, self._at_s = fresh, now_s
            return fresh
        return Eta(expected, self._said.spread_s)

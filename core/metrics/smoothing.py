"""Exponential moving average, debiased as in TensorBoard, so that its slider means the same here.

TensorBoard (vz_line_chart2/line-chart.ts, `resmoothDataset`): last = w * last + (1 - w) * y, shown
as last / (1 - w^n) for the n-th finite point, so that the first points are not pulled to zero.
"""

from __future__ import annotations

import math

import numpy as np

from core.metrics.series import Floats, Series

MAX_WEIGHT = 0.999
# Within a block the recursion is a sum of y_i * w^-i; more decades than these would cost digits.
_MAX_BLOCK = 512
_BLOCK_DECADES = 8.0


class Ema:
    """The average so far; feed it the new points only.

    Args:
        weight: 0 (off) to below 1; TensorBoard's slider.
    """

    def __init__(self, weight: float) -> None:
        self.weight = min(max(weight, 0.0), MAX_WEIGHT)
        self._last = 0.0
        self._count = 0

    def extend(self, ys: Floats) -> Floats:
        """The smoothed values of `ys`, which are finite and follow those given before."""
        if not len(ys) or self.weight == 0.0:
            return ys.astype(np.float64)
        raw = self._recursion(ys)
        counts = self._count + np.arange(1, len(ys) + 1)
        self._last, self._count = float(raw[-1]), self._count + len(ys)
        return raw / (1.0 - self.weight**counts)

    def _recursion(self, ys: Floats) -> Floats:
        """Without debiasing: all blocks at once, then one scalar carried from block to block."""
        weight = self.weight
        size = min(_MAX_BLOCK, max(1, int(_BLOCK_DECADES / -math.log10(weight))), len(ys))
        blocks = -(-len(ys) // size)
        padded = np.zeros(blocks * size)
        padded[: len(ys)] = ys
        powers = weight ** np.arange(size)
        inner = (1.0 - weight) * np.cumsum(padded.reshape(blocks, size) / powers, axis=1) * powers
        carries = np.empty(blocks)
        carry, decay = self._last, weight**size
        for i, end in enumerate(inner[:, -1].tolist()):
            carries[i] = carry
            carry = end + decay * carry
        return (inner + carries[:, None] * (powers * weight)).ravel()[: len(ys)]


def ema(ys: Floats, weight: float) -> Floats:
    """The whole curve smoothed; see `Ema`."""
    return Ema(weight).extend(np.asarray(ys, dtype=np.float64))


class SmoothedSeries:
    """A smoothed shadow of a series that grows with it at the cost of the new points."""

    def __init__(self, source: Series, weight: float = 0.0) -> None:
        self.source = source
        self._weight = weight
        self._restart()

    @property
    def weight(self) -> float:
        """0 (off) to below 1."""
        return self._weight

    @weight.setter
    def weight(self, weight: float) -> None:
        if weight != self._weight:
            self._weight = weight
            self._restart()

    @property
    def ys(self) -> Floats:
        """Smoothed y for each `source.xs`; a view, brought up to date by this call."""
        if self._weight == 0.0:
            return self.source.ys
        if self._cuts != self.source.cuts:
            self._restart()
        self._catch_up()
        return self._ys[: self._count]

    def _restart(self) -> None:
        self._ema = Ema(self._weight)
        self._cuts = self.source.cuts
        self._count = 0
        self._ys = np.empty(0)

    def _catch_up(self) -> None:
        raw = self.source.ys
        if len(raw) == self._count:
            return
        if len(raw) > self._ys.size:
            grown = np.empty(max(2 * self._ys.size, len(raw)))
            grown[: self._count] = self._ys[: self._count]
            self._ys = grown
        self._ys[self._count : len(raw)] = self._ema.extend(raw[self._count :])
        self._count = len(raw)

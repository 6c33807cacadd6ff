"""Rolling statistics over the last values of a metric."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from core.divergence.kept import Kept


class RollingWindow:
    """The last `size` values."""

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self._values: deque[float] = deque(values, maxlen=size)

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: float) -> None:
        """Take one more value; the oldest leaves."""
        self._values.append(value)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()

    @property
    def values(self) -> list[float]:
        """Oldest first."""
        return list(self._values)

    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation of the population; computed anew, so no error piles up."""
        array = np.fromiter(self._values, dtype=np.float64)
        return float(array.mean()), float(array.std())

    def median(self) -> float:
        """The middle value; 0 without any."""
        return (
            float(np.median(np.fromiter(self._values, dtype=np.float64))) if self._values else 0.0
        )

    def state(self) -> list[float]:
        """For a checkpoint."""
        return self.values

    def restore(self, state: list[float]) -> None:
        """Back to what `state` returned."""
        self._values = deque(state, maxlen=self._values.maxlen)


class Ema(Kept):
    """Exponential mean without the bias of its start (Adam's correction).

    The span may change from step to step; the sum of squared weights is kept with the mean, so
    that the noise of the mean is known also in its first steps.
    """

    KEPT = ("total", "weight", "square_weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0
        self.square_weight = 0.0

    def update(self, value: float, span_steps: float) -> None:
        """Take one value; 1 - 1 / `span_steps` is beta."""
        beta = 1.0 - 1.0 / span_steps
        self.total = beta * self.total + (1.0 - beta) * value
        self.weight = beta * self.weight + (1.0 - beta)
        self.square_weight = beta**2 * self.square_weight + (1.0 - beta) ** 2

    @property
    def mean(self) -> float | None:
        """None before the first value."""
        return self.total / self.weight if self.weight else None

    @property
    def noise_share(self) -> float:
        """Deviation of the mean for independent values of deviation 1: sqrt((1-b)/(1+b)) late."""
        return math.sqrt(self.square_weight) / self.weight if self.weight else math.inf

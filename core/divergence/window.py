"""Rolling statistics over the last values of a metric."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np


class RollingWindow:
    """The last `size` finite values."""

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self._values: deque[float] = deque(values, maxlen=size)

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: float) -> None:
        """Take one more value; the oldest leaves."""
        self._values.append(value)

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

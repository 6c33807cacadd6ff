"""Counts of times: since the start in fixed classes, and of the last minutes in fine ones.

Both cost the same at one request a second and at a thousand.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
            7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0)  # fmt: skip
_CLASS = math.log(1.02)
_SMALLEST = 1e-6


class Histogram:
    """Prometheus histogram: counts up to each bound, sum and count."""

    def __init__(self, bounds: tuple[float, ...] = _SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """Text exposition."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            limit = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{limit}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum:.6f}"
        yield f"{name}_count{{{labels}}} {total}"


class Rolling:
    """Values of the last minutes, each known to 1 %, in one small counter a second.

    Args:
        keep_s: the longest window that will be asked for.
        clock: a monotonic clock.
    """

    def __init__(self, keep_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_s, self._clock = keep_s, clock
        self._seconds: deque[tuple[int, Counter[int]]] = deque()

    def observe(self, value: float) -> None:
        """Count one value above zero."""
        second = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            while self._seconds[0][0] < second - self._keep_s:
                self._seconds.popleft()
        self._seconds[-1][1][math.floor(math.log(max(value, _SMALLEST)) / _CLASS)] += 1

    def window(self, window_s: float) -> Window:
        """The values of the last seconds."""
        oldest = self._clock() - window_s
        found: Counter[int] = Counter()
        for second, counts in self._seconds:
            if second >= oldest:
                found.update(counts)
        return Window(found)


class Window:
    """Values of a time, by size."""

    def __init__(self, classes: Counter[int]) -> None:
        self._classes = sorted(classes.items())
        self.count = sum(classes.values())

    def quantile(self, share: float) -> float | None:
        """Nearest rank; None of none."""
        left = math.ceil(share * self.count)
        for number, count in self._classes:
            left -= count
            if left <= 0:
                return math.exp((number + 0.5) * _CLASS)
        return None


class Amount:
    """A sum over the last seconds, in one number a quarter second."""

    def __init__(self, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._clock = window_s, clock
        self._parts: deque[list[float]] = deque()
        self._born = clock()

    def add(self, amount: float) -> None:
        """Count."""
        now = self._clock()
        if not self._parts or now - self._parts[-1][0] > 0.25:
            self._parts.append([now, 0.0])
            self._forget(now)
        self._parts[-1][1] += amount

    def per_second(self) -> float:
        """The mean rate of the window, or of the time since the start when that is shorter."""
        now = self._clock()
        self._forget(now)
        span = max(1.0, min(self._window_s, now - self._born))
        return sum(n for _, n in self._parts) / span

    def total(self) -> float:
        """The sum of the window."""
        self._forget(self._clock())
        return sum(n for _, n in self._parts)

    def _forget(self, now: float) -> None:
        while self._parts and self._parts[0][0] < now - self._window_s:
            self._parts.popleft()

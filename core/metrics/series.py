"""One growing curve in memory: numpy buffers that double, views that copy nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[Any]

_FIRST_CAPACITY = 256


class Series:
    """Points (x, y) with non-decreasing x, for example (optimizer step, loss).

    A point whose y is not finite is kept apart in `non_finite_xs`: it must be seen as a mark, and
    one NaN inside a curve would blank every pixel column that is aggregated over it.

    Args:
        unit: what the y axis is in ("", "GiB", "tokens/s"); shown beside the last value.
        dtype: of x; int64 for steps, float64 for seconds.
    """

    def __init__(self, unit: str = "", dtype: type[np.generic] = np.int64) -> None:
        self.unit = unit
        self.version = 0
        """Rises on every change, so that a drawer knows what it has not drawn."""
        self.cuts = 0
        """Rises when points were taken away, so that incremental caches start over."""
        self._count = 0
        self._xs: Numbers = np.empty(_FIRST_CAPACITY, dtype=dtype)
        self._ys: Floats = np.empty(_FIRST_CAPACITY, dtype=np.float64)
        self._bad_xs: list[float] = []

    def __len__(self) -> int:
        return self._count

    @property
    def xs(self) -> Numbers:
        """View of the x of all finite points; valid, but not growing, after later appends."""
        return self._xs[: self._count]

    @property
    def ys(self) -> Floats:
        """View of the y of all finite points."""
        return self._ys[: self._count]

    @property
    def last(self) -> tuple[float, float] | None:
        """The newest finite point."""
        if not self._count:
            return None
        return self._xs[self._count - 1].item(), self._ys[self._count - 1].item()

    @property
    def non_finite_xs(self) -> Sequence[float]:
        """Where y was NaN or infinite, in order."""
        return self._bad_xs

    def append(self, x: float, y: float) -> None:
        """Add one point.

        Raises:
            ValueError: x lies before the last point.
        """
        self.extend((x,), (y,))

    def extend(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Add many points in one go.

        Raises:
            ValueError: x falls somewhere, or lengths differ; nothing was added.
        """
        new_xs = np.asarray(xs, dtype=self._xs.dtype)
        new_ys = np.asarray(ys, dtype=np.float64)
        if new_xs.shape != new_ys.shape or new_xs.ndim != 1:
            raise ValueError("xs and ys are not of one length")
        if not new_xs.size:
            return
        finite = np.isfinite(new_ys)
        self._check_order(new_xs)
        if not finite.all():
            self._bad_xs.extend(new_xs[~finite].tolist())
            new_xs, new_ys = new_xs[finite], new_ys[finite]
        end = self._count + new_xs.size
        self._reserve(end)
        self._xs[self._count : end] = new_xs
        self._ys[self._count : end] = new_ys
        self._count = end
        self.version += 1

    def truncate_after(self, x: float) -> None:
        """Forget every point right of `x`: the run went back to it."""
        keep = int(np.searchsorted(self.xs, x, side="right"))
        bad = [b for b in self._bad_xs if b <= x]
        if keep == self._count and len(bad) == len(self._bad_xs):
            return
        # New buffers: views that were handed out must not change under their holders.
        self._xs, self._ys = self._xs.copy(), self._ys.copy()
        self._count, self._bad_xs = keep, bad
        self.cuts += 1
        self.version += 1

    def since(self, x: float) -> Series:
        """A copy of the points from `x` on."""
        first = int(np.searchsorted(self.xs, x, side="left"))
        copy = Series(self.unit, self._xs.dtype.type)
        copy.extend(self.xs[first:], self.ys[first:])
        copy._bad_xs = [b for b in self._bad_xs if b >= x]
        return copy

    def nearest(self, x: float) -> int | None:
        """Index of the point nearest to `x`."""
        if not self._count:
            return None
        right = int(np.searchsorted(self.xs, x))
        if right == 0 or right == self._count:
            return max(0, right - 1)
        return right if self._xs[right] - x < x - self._xs[right - 1] else right - 1

    def _check_order(self, new_xs: Numbers) -> None:
        last = self._xs[self._count - 1] if self._count else new_xs[0]
        if self._bad_xs:
            last = max(last, self._bad_xs[-1])
        if new_xs[0] < last or np.any(new_xs[1:] < new_xs[:-1]):
            raise ValueError("x must not fall; truncate_after() first")

    def _reserve(self, needed: int) -> None:
        if needed <= self._xs.size:
            return
        capacity = max(needed, 2 * self._xs.size)
        grown_xs = np.empty(capacity, dtype=self._xs.dtype)
        grown_ys = np.empty(capacity, dtype=np.float64)
        grown_xs[: self._count], grown_ys[: self._count] = self.xs, self.ys
        self._xs, self._ys = grown_xs, grown_ys

"""Thin a curve to what a screen can show, without ever losing a spike.

Per pixel column the smallest and the largest y are kept, so that a spike of one step in a million
stays visible; taking every n-th point, or averages, would hide it.
"""

from __future__ import annotations

import numpy as np

from core.metrics.series import Floats, Numbers


def column_edges(x0: float, x1: float, columns: int, *, log: bool = False) -> Floats:
    """Left edges of the pixel columns that cover [x0, x1], and the right end.

    Linear edges lie on a grid that hangs at 0, not at x0: while the view is panned by fractions of
    a pixel the same points stay together, so nothing shimmers. With `log`, x0 must be positive.
    """
    if log:
        return np.geomspace(x0, x1, columns + 1)
    width = (x1 - x0) / columns
    first = np.floor(x0 / width)
    edges: Floats = (first + np.arange(columns + 2)) * width
    return edges


def decimate(
    xs: Numbers, ys: Floats, x0: float, x1: float, columns: int, *, log: bool = False
) -> tuple[Floats, Floats]:
    """The points to draw for the view [x0, x1] that is `columns` pixels wide.

    Kept: minimum and maximum of each column in x order, the last point of the view, and one
    neighbor on each side so that lines run on to the edges. At most 2 * columns + 5 points; a view
    with fewer points than that gets all of them. Non-finite y are left out.

    Args:
        xs: non-decreasing.
        ys: as long as `xs`.
        x0: left end of the view.
        x1: right end of the view, greater than `x0`.
        columns: width of the view in pixels, at least 1.
        log: columns are equally wide in log(x); points at x <= 0 are left out.
    """
    if log:
        x0 = max(x0, _smallest_positive(xs))
    if columns < 1 or not x1 > x0:
        return np.empty(0), np.empty(0)
    return decimate_columns(xs, ys, column_edges(x0, x1, columns, log=log), log=log)


def decimate_columns(
    xs: Numbers, ys: Floats, edges: Floats, *, log: bool = False
) -> tuple[Floats, Floats]:
    """`decimate` for columns of any width: `edges` are rising, one more than columns."""
    ends = np.searchsorted(xs, _like(xs, edges[[0, -1]]), side="left")
    low, high = int(ends[0]), int(ends[1])
    first, stop = max(0, low - 1), min(len(xs), high + 1)  # the neighbors
    if log:
        first = max(first, int(np.searchsorted(xs, 0, side="right")))
    if stop - first <= 2 * len(edges):
        return _finite(xs[first:stop].astype(np.float64), ys[first:stop])
    inner_xs, inner_ys = _extremes(xs[low:high], ys[low:high], edges)
    left, right = slice(first, low), slice(high, stop)
    return _finite(
        np.concatenate((xs[left], inner_xs, xs[max(low, high - 1) : high], xs[right])),
        np.concatenate((ys[left], inner_ys, ys[max(low, high - 1) : high], ys[right])),
    )


def _extremes(xs: Numbers, ys: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Minimum and maximum of each column that holds a point, in the order they are met.

    The pair stands at the x of the column's first and last point, less than a pixel from where it
    was: finding the exact place would cost three more passes over the data.
    """
    starts = np.searchsorted(xs, _like(xs, edges[:-1]), side="left")
    starts = starts[starts < len(xs)]
    starts = starts[np.append(True, starts[1:] != starts[:-1])] if len(starts) else starts
    ends = np.append(starts[1:], len(xs))
    lows, highs = _fmin_fmax(ys, starts)
    rising = ys[starts] <= ys[ends - 1]
    out_xs = np.empty(2 * len(starts), dtype=np.float64)
    out_ys = np.empty(2 * len(starts), dtype=np.float64)
    out_xs[0::2], out_xs[1::2] = xs[starts], xs[ends - 1]
    out_ys[0::2] = np.where(rising, lows, highs)
    out_ys[1::2] = np.where(rising, highs, lows)
    return out_xs, out_ys


def _like(xs: Numbers, edges: Floats) -> Numbers:
    """Edges in the dtype of `xs`: numpy would convert the million xs instead."""
    return np.ceil(edges).astype(xs.dtype) if xs.dtype.kind == "i" else edges


def _fmin_fmax(ys: Floats, starts: Numbers) -> tuple[Floats, Floats]:
    # fmin and fmax step over NaN (a series holds none, but callers may); infinities are rarer
    # still and would flatten the whole column, so they become NaN first.
    if not np.isfinite(ys[0]) or not np.isfinite(ys.sum()):
        ys = np.where(np.isfinite(ys), ys, np.nan)
        return np.fmin.reduceat(ys, starts), np.fmax.reduceat(ys, starts)
    return np.minimum.reduceat(ys, starts), np.maximum.reduceat(ys, starts)


def _finite(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    keep = np.isfinite(ys)
    return (xs, ys) if keep.all() else (xs[keep], ys[keep])


def _smallest_positive(xs: Numbers) -> float:
    index = int(np.searchsorted(xs, 0, side="right"))
    return float(xs[index]) if index < len(xs) else 1.0

"""Which samples share a row: best-fit decreasing, the classic for one-dimensional bin packing
(never worse than 11/9 of the fewest rows plus one, https://doi.org/10.1137/0203025).

Rows are planned within buffers of the epoch's permuted order, so that long and short samples are
met at random moments of the epoch, and the plan is a pure function of seed, epoch and lengths.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

BUFFER_SAMPLES = 1024
"""Enough small samples in each to fill the rows; small enough to keep the order random."""

Plan = list[tuple[int, ...]]
"""Rows, each as the samples in it."""


def pack(lengths: Sequence[int] | NDArray[np.int64], capacity: int) -> Plan:
    """Indices into `lengths` by row; every index is in exactly one row.

    A sample longer than `capacity` gets a row of its own. Samples of one length keep their order.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left in each row that is not full, ascending
    for index in np.argsort(-np.asarray(lengths, np.int64), kind="stable").tolist():
        length = int(lengths[index])
        at = bisect_left(room, (length, -1))
        if at < len(room):
            left, row = room.pop(at)
        else:
            left, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        if left > length:
            insort(room, (left - length, row))
    return [tuple(row) for row in rows]


def plan_epoch(
    order: NDArray[np.int64], lengths: NDArray[np.int64], capacity: int, seed: Sequence[int]
) -> Plan:
    """The rows of an epoch, in the order in which they are trained.

    Args:
        order: sample numbers as the epoch would show them without packing.
        lengths: tokens by sample number.
        capacity: tokens of a row.
        seed: of the order of rows inside a buffer: the fullest come first otherwise.
    """
    return [row for part in _buffers(order, lengths, capacity, seed) for row in part]


def _buffers(
    order: NDArray[np.int64], lengths: NDArray[np.int64], capacity: int, seed: Sequence[int]
) -> Iterator[Plan]:
    for start in range(0, len(order), BUFFER_SAMPLES):
        samples = order[start : start + BUFFER_SAMPLES]
        rows = pack(lengths[samples], capacity)
        shuffled = np.random.default_rng([*seed, start]).permutation(len(rows))
        yield [tuple(samples[list(rows[i])].tolist()) for i in shuffled]


def fill(lengths: NDArray[np.int64], rows: int, capacity: int) -> float:
    """Share of the places in so many rows that hold a token, 0 to 1."""
    return float(lengths.sum()) / max(1, rows * capacity)

"""Which rows a step sees: a pure function of seed and position, so there is nothing to save but
one number, the rows consumed so far. A row is one sample, or several when they are packed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from core.config.preview import PreviewSpec
from core.config.train import TrainSpec
from workers.train.packing import Plan, plan_epoch

PACKINGS = 8
"""Rows are put together anew in so many epochs; then the same rows come back in new orders. It
bounds the time to find a far position: the number of rows differs from packing to packing."""


@dataclass
class DataOrder:
    """An endless stream of rows, each as its sample numbers: every epoch is its own permutation."""

    samples: int
    seed: int
    lengths: NDArray[np.int64] | None = None
    """Tokens by sample number; given with `capacity` when samples are packed."""
    capacity: int | None = None
    """Tokens of a packed row."""
    _epoch: int = field(default=-1, init=False, repr=False)
    _plan: Plan = field(default_factory=list, init=False, repr=False)

    def window(self, start: int, size: int) -> Plan:
        """The rows at positions `start` to `start + size`, across epochs where need be."""
        return [self._at(position) for position in range(start, start + size)]

    def epoch_at(self, position: int) -> float:
        """How many passes over the data lie before a position."""
        epoch, inside = self._split(position)
        return epoch + inside / self.rows_in(epoch)

    def position_at(self, epochs: float) -> int:
        """The position that ends so many passes, rounded up."""
        whole = int(epochs)
        return self._start_of(whole) + math.ceil(round((epochs - whole) * self.rows_in(whole), 6))

    def rows_in(self, epoch: int) -> int:
        """Rows of one epoch."""
        before, after = self._starts[epoch % PACKINGS], self._starts[epoch % PACKINGS + 1]
        return after - before

    @cached_property
    def _starts(self) -> list[int]:
        """Where each epoch of a cycle begins, and where the cycle ends."""
        if self.lengths is None:
            return [self.samples * i for i in range(PACKINGS + 1)]
        sizes = (len(self._packing(i)) for i in range(PACKINGS))
        return list(accumulate(sizes, initial=0))

    def _start_of(self, epoch: int) -> int:
        cycle, inside = divmod(epoch, PACKINGS)
        return cycle * self._starts[-1] + self._starts[inside]

    def _split(self, position: int) -> tuple[int, int]:
        """Epoch, and row inside it."""
        cycle, inside = divmod(position, self._starts[-1])
        epoch = bisect_right(self._starts, inside) - 1
        return cycle * PACKINGS + epoch, inside - self._starts[epoch]

    def _at(self, position: int) -> tuple[int, ...]:
        epoch, inside = self._split(position)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._planned(epoch)
        return self._plan[inside]

    def _planned(self, epoch: int) -> Plan:
        if self.lengths is None:
            return [(i,) for i in permutation(self.seed, epoch, self.samples).tolist()]
        rows = self._packing(epoch % PACKINGS)
        if epoch < PACKINGS:
            return rows
        return [rows[i] for i in permutation(self.seed, epoch, len(rows))]

    def _packing(self, epoch: int) -> Plan:
        assert self.lengths is not None
        assert self.capacity is not None
        order = permutation(self.seed, epoch, self.samples)
        return plan_epoch(order, self.lengths, self.capacity, (self.seed, epoch))


def permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    """The order of one epoch; PCG64 gives the same on every machine."""
    return np.random.default_rng([seed, epoch]).permutation(samples)


@dataclass(frozen=True)
class Extent:
    """How long a run is, in steps and in rows (samples, unless they are packed)."""

    total_steps: int
    total_samples: int
    window: int
    """Rows of a step; the last step of a run by epochs may have fewer."""

    def window_at(self, consumed: int) -> int:
        """Rows of the step that begins after `consumed` rows."""
        return min(self.window, self.total_samples - consumed)


def make_order(
    spec: TrainSpec | PreviewSpec, lengths: NDArray[np.int64], capacity: int
) -> DataOrder:
    """The order of a run over samples of these lengths; `capacity` is what a packed row holds.

    Rows of a pre-training are full already, so there is nothing to pack.
    """
    if spec.packing and spec.stage == "sft":
        return DataOrder(len(lengths), spec.seed, lengths, capacity)
    return DataOrder(len(lengths), spec.seed)


def extent(spec: TrainSpec, order: DataOrder) -> Extent:
    """Steps as asked for, or as many as `num_train_epochs` passes over the data need."""
    window = spec.window_samples
    if spec.max_steps is not None:
        return Extent(spec.max_steps, spec.max_steps * window, window)
    total = max(1, order.position_at(spec.num_train_epochs))
    return Extent(math.ceil(total / window), total, window)

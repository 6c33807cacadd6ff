"""Which samples a step sees: a pure function of seed and position, so there is nothing to save
but one number, the samples consumed so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.config.train import TrainSpec


@dataclass
class DataOrder:
    """An endless stream of sample indices: each epoch is its own permutation."""

    samples: int
    seed: int
    _epoch: int = field(default=-1, repr=False)
    _permutation: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64), repr=False
    )

    def window(self, start: int, size: int) -> list[int]:
        """The indices at positions `start` to `start + size`, across epochs where need be."""
        return [self._at(position) for position in range(start, start + size)]

    def _at(self, position: int) -> int:
        epoch, inside = divmod(position, self.samples)
        if epoch != self._epoch:
            self._permutation = permutation(self.seed, epoch, self.samples)
            self._epoch = epoch
        return int(self._permutation[inside])


def permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    """The order of one epoch; PCG64 gives the same on every machine."""
    return np.random.default_rng([seed, epoch]).permutation(samples)


@dataclass(frozen=True)
class Extent:
    """How long a run is, in steps and in samples."""

    total_steps: int
    total_samples: int
    window: int
    """Samples of a step; the last step of a run by epochs may have fewer."""

    def window_at(self, consumed: int) -> int:
        """Samples of the step that begins after `consumed` samples."""
        return min(self.window, self.total_samples - consumed)


def extent(spec: TrainSpec, samples: int) -> Extent:
    """Steps as asked for, or as many as `epochs` passes over the samples need."""
    window = spec.window_samples
    if spec.max_steps is not None:
        return Extent(spec.max_steps, spec.max_steps * window, window)
    total = max(1, math.ceil(spec.num_train_epochs * samples))
    return Extent(math.ceil(total / window), total, window)

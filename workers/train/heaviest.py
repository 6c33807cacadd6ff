"""The micro-batch that will need the most memory, found before the first step.

Late out-of-memory errors are long samples (https://github.com/huggingface/trl/issues/1626): the
order of a run is known from its start, so its heaviest moment is as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.train.batches import MicroBatch, make_batch

if TYPE_CHECKING:
    from workers.train.parts import Parts

SEARCH_S = 0.5
"""A run of 100,000 steps is not looked through to its end."""

RowPlan = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Heaviest:
    """What was found."""

    batch: MicroBatch
    rows: int
    """In the batch."""
    longest_tokens: int
    """Of its longest row."""
    sample: int
    """Number of the longest row's first training sample."""
    places_per_step: float
    """Tokens of a step, padding included, on the average."""
    exact: bool
    """False: the run is too long to look through; these are the longest samples of all."""

    @property
    def places(self) -> int:
        """Tokens of the batch, padding included."""
        return self.batch.tokens


def find_heaviest(parts: Parts, search_s: float = SEARCH_S) -> Heaviest:
    """The heaviest micro-batch of the run."""
    lengths = parts.data.train.lengths
    size = parts.spec.per_device_train_batch_size
    deadline = time.monotonic() + search_s
    best: RowPlan = ()
    places, steps, complete = 0, 0, True
    for step in range(parts.extent.total_steps):
        start = step * parts.extent.window
        window = parts.order.window(start, parts.extent.window_at(start))
        rows = sorted(window, key=lambda row: -_length(row, lengths))
        places += _places_of(rows, lengths, size, flat=parts.flat)
        steps += 1
        best = max(best, rows[:size], key=lambda r: _places(r, lengths, flat=parts.flat))
        if time.monotonic() > deadline and step + 1 < parts.extent.total_steps:
            complete = False
            break
    if not complete and parts.order.lengths is None:
        longest = np.argsort(-lengths, kind="stable")[:size]
        best = [(int(i),) for i in longest]
    return _made(parts, best, lengths, places / max(1, steps), exact=complete)


def _made(
    parts: Parts, rows: RowPlan, lengths: NDArray[np.int64], per_step: float, *, exact: bool
) -> Heaviest:
    encoded = parts.data.train.take(rows)
    batch = make_batch(encoded, parts.pad_id, flat=parts.flat)
    longest = max(rows, key=lambda row: _length(row, lengths))
    return Heaviest(
        batch=batch,
        rows=len(rows),
        longest_tokens=_length(longest, lengths),
        sample=int(longest[0]),
        places_per_step=per_step,
        exact=exact,
    )


def _length(row: Sequence[int], lengths: NDArray[np.int64]) -> int:
    return int(sum(lengths[i] for i in row))


def _places(rows: RowPlan, lengths: NDArray[np.int64], *, flat: bool) -> int:
    """Tokens of one micro-batch: joined rows have no padding."""
    tokens = [_length(row, lengths) for row in rows]
    joined = flat or any(len(row) > 1 for row in rows)
    return sum(tokens) if joined else len(tokens) * max(tokens, default=0)


def _places_of(rows: RowPlan, lengths: NDArray[np.int64], size: int, *, flat: bool) -> int:
    groups = (rows[i : i + size] for i in range(0, len(rows), size))
    return sum(_places(group, lengths, flat=flat) for group in groups)

"""Which samples a step learns from.

A position in the endless data order is `consumed_samples + data_offset`: a rollback takes the
first back and raises the second, so that the data it went through are not shown again. Excluded
samples keep their position and are left out of their window.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.train.batches import Window, make_window
from workers.train.checkpoint import TrainerState
from workers.train.parts import Parts


@dataclass(frozen=True)
class Fed:
    """What one step gets, and how far the data move on with it."""

    window: Window
    consumed: int
    """Positions of the window, excluded ones included."""
    passed_over: int = 0
    """Positions before it whose samples were all excluded."""


class Feed:
    """Makes windows; holds nothing that a checkpoint would need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def next(self, state: TrainerState) -> Fed:
        """The window of the step after `state`. Not every sample may be excluded."""
        parts, size = self._parts, self._parts.extent.window_at(state.consumed_samples)
        start, passed_over = state.consumed_samples + state.data_offset, 0
        excluded = frozenset(state.excluded)
        while not (rows := parts.data.train.take(parts.order.window(start, size), excluded)):
            start, passed_over = start + size, passed_over + size
        batch_size = parts.spec.per_device_train_batch_size
        window = make_window(rows, batch_size, parts.pad_id, flat=parts.flat)
        return Fed(window, size, passed_over)

    def epoch(self, state: TrainerState) -> float:
        """Passes over the data so far, those included that a rollback took back."""
        return self._parts.order.epoch_at(state.consumed_samples + state.data_offset)

"""Watching a run for trouble: pure functions over its metrics."""

from core.divergence.detectors import (
    CHECKPOINT_DAMAGED,
    GRAD_NORM_HIGH,
    LOSS_SPIKE,
    NON_FINITE,
    SAVE_FAILED,
    STALL,
    Alarm,
    Detectors,
)

__all__ = [
    "CHECKPOINT_DAMAGED",
    "GRAD_NORM_HIGH",
    "LOSS_SPIKE",
    "NON_FINITE",
    "SAVE_FAILED",
    "STALL",
    "Alarm",
    "Detectors",
]

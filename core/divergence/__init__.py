"""Watching a run for trouble and deciding what to do: pure functions over its metrics."""

from core.divergence import codes
from core.divergence.codes import CHECKPOINT_DAMAGED, SAVE_FAILED
from core.divergence.detectors import Alarm, Detectors
from core.divergence.policy import Decision, PolicySettings, Rollback, decide
from core.divergence.settings import DetectorSettings

__all__ = [
    "CHECKPOINT_DAMAGED",
    "SAVE_FAILED",
    "Alarm",
    "Decision",
    "DetectorSettings",
    "Detectors",
    "PolicySettings",
    "Rollback",
    "codes",
    "decide",
]

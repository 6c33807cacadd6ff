"""What a training will need, worked out before it starts. No torch: forms and services ask here."""

from __future__ import annotations

from core.planning.memory import MemoryForecast, Situation, estimate
from core.planning.shapes import ModelShape, shape_of, shape_of_folder
from core.planning.verdict import Room, Verdict, judge

__all__ = [
    "MemoryForecast",
    "ModelShape",
    "Room",
    "Situation",
    "Verdict",
    "estimate",
    "judge",
    "shape_of",
    "shape_of_folder",
]

"""What a training will need, worked out before it starts. No torch: forms and services ask here."""

from __future__ import annotations


from core.planning.shapes import ModelShape, shape_of, shape_of_folder


__all__ = [
    "ModelShape",
    "shape_of",
    "shape_of_folder",
]

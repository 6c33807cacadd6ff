"""Presets: named sets of values for a job's spec, kept as data under `resources/presets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core import atomic_io
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError
from core.paths import RESOURCES


class Preset(BaseModel):
    """Values to begin with; every one of them can be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: dict[str, str]
    """By language: "en", "zh"."""
    description: dict[str, str]
    """When to take it, in a sentence or two, by language."""
    values: dict[str, Any]
    """Fields of the spec; what is not named keeps the spec's default."""

    def over(self, values: dict[str, Any]) -> dict[str, Any]:
        """`values` with those of the preset put over them, nested specs field by field."""
        return merge(values, self.values)


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`; objects are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def train_presets(folder: Path = RESOURCES / "presets" / "train") -> tuple[Preset, ...]:
    """All presets for training, in the order of their file names.

    Raises:
        AppError: `file.damaged` for a file that is no preset of a valid spec.
    """
    return tuple(_read(file) for file in sorted(folder.glob("*.json")))


def train_preset(preset_id: str) -> Preset:
    """One preset.

    Raises:
        UsageError: `input.bad_value` with the ids there are.
    """
    presets = train_presets()
    found = next((p for p in presets if p.id == preset_id), None)
    if found is None:
        known = ", ".join(p.id for p in presets)
        raise UsageError(
            ErrorCode.BAD_VALUE, field="preset", value=preset_id, detail=f"one of: {known}"
        )
    return found


def _read(file: Path) -> Preset:
    try:
        preset = Preset.model_validate(atomic_io.read_json(file))
        TrainSpec.model_validate({"model": "m", "data": "d", **preset.values})
    except ValidationError as e:
        raise AppError(ErrorCode.FILE_DAMAGED, path=str(file), detail=str(e)) from e
    return preset

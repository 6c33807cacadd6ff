"""What finished runs teach about the forecast: measured over forecast, by card and method.

Only what changes in a step is corrected (activations and logits): weights and states are counted
exactly. A correction is bounded, and one odd run cannot make it: the median of the last few counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from core import atomic_io
from core.config.train import TrainSpec
from core.errors import AppError
from core.planning.memory import MemoryForecast

KEPT = 7
"""Runs that are remembered for each card and method."""
SMALLEST, LARGEST = 0.7, 1.5
"""Beyond these something else is wrong than a constant."""
LEAST_CHANGING_GIB = 0.25
"""Below that, noise of the allocator is all there is to learn."""
_MAX_KEYS = 200


def method_of(spec: TrainSpec) -> str:
    """Runs of one name are forecast by the same formulas."""
    weights = "nf4" if spec.load_in_4bit else "int8" if spec.load_in_8bit else "16bit"
    kernels = "fast" if spec.fast_kernels else "liger" if spec.use_liger_kernel else "plain"
    words = [spec.method, weights, kernels, spec.gradient_checkpointing]
    words.append("chunked" if spec.chunked_loss else "whole")
    if spec.method == "lora":
        words.append(spec.lora.dtype)
    if spec.parallel.world_size > 1:
        words.append(spec.parallel.strategy)
    return "-".join(words)


def observed_ratio(forecast: MemoryForecast, measured_gib: float) -> float | None:
    """Measured over forecast of what changes in a step; None when there is nothing to learn.

    Args:
        forecast: made without a correction.
        measured_gib: peak of the allocator, `torch.cuda.max_memory_allocated`.
    """
    changing = forecast.parts_gib["activations"] + forecast.parts_gib["logits"]
    if changing < LEAST_CHANGING_GIB or not math.isfinite(measured_gib):
        return None
    ratio = (measured_gib - (forecast.allocated_gib - changing)) / changing
    return ratio if SMALLEST / 2 < ratio < LARGEST * 2 else None


class Calibration:
    """Remembers ratios in one small file, which may be lost or damaged at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def correction(self, card: str, method: str) -> float:
        """What to multiply a forecast by; 1 when nothing is known."""
        ratios = _ratios(self._read().get(_key(card, method)))
        return min(LARGEST, max(SMALLEST, median(ratios))) if ratios else 1.0

    def learn(self, card: str, method: str, forecast: MemoryForecast, measured_gib: float) -> None:
        """Remember a run. What cannot be written is forgotten: it is no more than a convenience."""
        ratio = observed_ratio(forecast, measured_gib)
        if ratio is None:
            return
        known = self._read()
        key = _key(card, method)
        ratios = [*_ratios(known.pop(key, None)), ratio][-KEPT:]
        newest = {**known, key: ratios}
        kept = dict(list(newest.items())[-_MAX_KEYS:])
        _quietly(lambda: atomic_io.write_json(self._path, {"v": 1, "ratios": kept}))

    def _read(self) -> dict[str, Any]:
        try:
            found = atomic_io.read_json(self._path)
        except (AppError, OSError, ValueError, RecursionError):
            return {}
        ratios = found.get("ratios") if isinstance(found, dict) else None
        return ratios if isinstance(ratios, dict) else {}


def _key(card: str, method: str) -> str:
    return f"{card} | {method}"


def _ratios(values: Any) -> list[float]:
    if not isinstance(values, list):
        return []
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return [v for v in numbers if math.isfinite(v) and v > 0][-KEPT:]


def _quietly(write: Callable[[], None]) -> None:
    try:
        write()
    except (AppError, OSError):
        return

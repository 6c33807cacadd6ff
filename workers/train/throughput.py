"""How fast this card multiplies matrices: the measure that a run's speed is held against.

A data sheet's peak is not reached by any program (798 of 989 TFLOP/s on an H200, measured with
this very product), and is unknown for most consumer cards; so it is measured, in under 0.3 s.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import torch

from core import atomic_io
from core.errors import AppError
from core.paths import Home
from workers.train.device import Place

log = logging.getLogger(__name__)

SIZES = (8192, 4096, 2048)
"""Of the square matrices; the largest that finds room."""
SPARE_BYTES = 512 * 1024**2
BUDGET_S = 0.15
FILE = "matmul-peaks.json"


def matmul_peak_flops(place: Place, home: Home | None = None) -> float | None:
    """FLOP/s of one card in the run's 16-bit type; None without a card or without room.

    Measured once a card's name and dtype, and remembered in the home folder.
    """
    if place.device != "cuda":
        return None
    dtype = torch.float16 if place.dtype == "fp16" else torch.bfloat16
    key = f"{torch.cuda.get_device_name(0)} | {dtype}"
    path = (home or Home.default()).root / FILE
    known = remembered(path)
    if key not in known:
        try:
            measured = _measure(dtype)
        except (RuntimeError, StopIteration) as e:
            log.warning("the card's speed could not be measured: %s", e)
            return None
        known[key] = measured
        remember(path, known)
    return known[key]


def remembered(path: Path) -> dict[str, float]:
    """Measured peaks by card and dtype; empty when the file is lost or damaged."""
    try:
        found: Any = atomic_io.read_json(path)
    except (AppError, OSError, ValueError):
        return {}
    peaks = found.get("peaks") if isinstance(found, dict) else None
    if not isinstance(peaks, dict):
        return {}
    numbers = {k: float(v) for k, v in peaks.items() if isinstance(v, int | float)}
    return {k: v for k, v in numbers.items() if math.isfinite(v) and v > 0}


def remember(path: Path, peaks: dict[str, float]) -> None:
    """Write them; what cannot be written is measured again next time."""
    try:
        atomic_io.write_json(path, {"v": 1, "peaks": peaks})
    except (AppError, OSError) as e:
        log.info("the card's speed is not remembered: %s", e)


def _measure(dtype: torch.dtype) -> float:
    free, _ = torch.cuda.mem_get_info()
    size = next(n for n in SIZES if 3 * n * n * 2 + SPARE_BYTES < free)
    a = torch.randn(size, size, device="cuda", dtype=dtype)
    b, out = torch.randn_like(a), torch.empty_like(a)
    torch.matmul(a, b, out=out)  # chooses the kernel
    torch.cuda.synchronize()
    best, until = math.inf, time.monotonic() + BUDGET_S
    while time.monotonic() < until:
        best = min(best, _seconds(a, b, out))
    del a, b, out
    torch.cuda.empty_cache()
    return 2.0 * size**3 / best


def _seconds(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, repeats: int = 4) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(repeats):
        torch.matmul(a, b, out=out)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / repeats

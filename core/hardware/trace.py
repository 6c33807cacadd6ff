"""A GPU backend that plays a recording: for tests, and to look at a remote machine's trace.

One JSON object a line: `{"time_s": 0.0, "gpus": [{"index": 0, "name": "...", ...}]}`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.hardware.gpu import GpuBackend, GpuSample, NoGpuReason

_FIELDS = {f.name for f in dataclasses.fields(GpuSample)}


class TraceBackend:
    """Each `sample()` returns the next moment of the recording; the last one stays."""

    reason: NoGpuReason | None = None
    detail: str = ""
    driver_version: str | None = "recorded"

    def __init__(self, moments: Iterable[list[GpuSample]]) -> None:
        self._moments = list(moments) or [[]]
        self._next = 0

    @classmethod
    def read(cls, path: Path) -> TraceBackend:
        """A recording made by `record`; unknown fields of a newer one are left out."""
        with path.open(encoding="utf-8") as lines:
            return cls([_moment(json.loads(line)) for line in lines if line.strip()])

    def sample(self) -> list[GpuSample]:
        """The next recorded moment."""
        now = self._moments[self._next]
        self._next = min(self._next + 1, len(self._moments) - 1)
        return now

    def close(self) -> None:
        """Start over."""
        self._next = 0


def record(backend: GpuBackend, path: Path, time_s: float) -> None:
    """Append one moment of `backend` to a recording."""
    gpus = [dataclasses.asdict(s) for s in backend.sample()]
    with path.open("a", encoding="utf-8") as f:
        f.write(json.dumps({"time_s": time_s, "gpus": gpus}) + "\n")


def _moment(line: dict[str, Any]) -> list[GpuSample]:
    return [_sample(gpu) for gpu in line["gpus"]]


def _sample(raw: dict[str, Any]) -> GpuSample:
    known = {k: v for k, v in raw.items() if k in _FIELDS}
    for name in ("slowdowns", "compute_capability"):
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    if known.get("process_memory_gib") is not None:
        known["process_memory_gib"] = {int(k): v for k, v in known["process_memory_gib"].items()}
    return GpuSample(**known)

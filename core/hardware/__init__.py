"""What the machine has and what it does now: GPU samples, machine facts, process meters."""

from __future__ import annotations

import functools
from pathlib import Path

from core.hardware.gpu import GpuBackend, GpuSample, NoGpu, NoGpuReason
from core.hardware.machine import MachineInfo, describe
from core.hardware.nvml import open_nvml
from core.hardware.process import ProcessMeter, rss_gib
from core.hardware.trace import TraceBackend

__all__ = [
    "GpuBackend",
    "GpuSample",
    "MachineInfo",
    "NoGpu",
    "NoGpuReason",
    "ProcessMeter",
    "TraceBackend",
    "gpu_backend",
    "machine",
    "rss_gib",
]


@functools.cache
def gpu_backend() -> GpuBackend:
    """The GPU backend of this machine, opened once a process, as NVML itself is."""
    return open_nvml()


def machine(disk: Path | None = None) -> MachineInfo:
    """The machine now; free space is that of `disk`."""
    return describe(gpu_backend(), disk)

"""What the machine has and what it does now: GPU samples, machine facts, process meters."""

from __future__ import annotations

import functools
from pathlib import Path

from core.hardware.gpu import GpuBackend, GpuSample, NoGpu, NoGpuReason
from core.hardware.gpu_users import GpuUser, gpu_users, users_of
from core.hardware.machine import MachineInfo, describe
from core.hardware.nvml import open_nvml
from core.hardware.process import ProcessMeter, rss_gib
from core.hardware.trace import TraceBackend

__all__ = [
    "GpuBackend",
    "GpuSample",
    "GpuUser",
    "MachineInfo",
    "NoGpu",
    "NoGpuReason",
    "ProcessMeter",
    "TraceBackend",
    "gpu_backend",
    "gpu_users",
    "machine",
    "rss_gib",
    "users_of",
]


@functools.cache
def gpu_backend() -> GpuBackend:
    """The GPU backend of this machine, opened once a process, as NVML itself is."""
    return open_nvml()


def machine(disk: Path | None = None) -> MachineInfo:
    """The machine now; free space is that of `disk`."""
    return describe(gpu_backend(), disk)

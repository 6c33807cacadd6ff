"""This computer in a few facts, without torch and without starting a process."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from core import atomic_io
from core.hardware.gpu import GpuBackend, GpuSample, NoGpuReason
from core.hardware.process import GIB


@dataclass(frozen=True)
class MachineInfo:
    """What a person would say of the machine when asking for help."""

    os: str
    """For example "Debian GNU/Linux 12 (bookworm)"."""
    glibc: str | None
    cpu: str
    cores: int
    """Cores this process may use, which in a container are fewer than the machine has."""
    ram_gib: float
    ram_available_gib: float
    disk_free_gib: float
    python: str
    gpus: tuple[GpuSample, ...]
    reason_no_gpu: NoGpuReason | None
    driver_version: str | None


def describe(backend: GpuBackend, disk: Path | None = None) -> MachineInfo:
    """The machine now; free space is that of `disk` (the working folder by default)."""
    memory = psutil.virtual_memory()
    libc, version = platform.libc_ver()
    gpus = tuple(backend.sample())
    limit = memory_limit_bytes()
    return MachineInfo(
        os=os_name(),
        glibc=version if libc == "glibc" else None,
        cpu=cpu_name(),
        cores=usable_cores(),
        ram_gib=min(memory.total, limit or memory.total) / GIB,
        ram_available_gib=memory.available / GIB,
        disk_free_gib=atomic_io.free_bytes(disk or Path.cwd()) / GIB,
        python=platform.python_version(),
        gpus=gpus,
        reason_no_gpu=backend.reason,
        driver_version=backend.driver_version,
    )


def os_name() -> str:
    """The name people know their system by."""
    system = platform.system()  # not sys.platform: the type checker would drop the other branches
    if system == "Linux":
        try:
            return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        except OSError:
            return "Linux"
    if system == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{system} {platform.release()}"


def cpu_name() -> str:
    """The processor's model name, or its architecture when the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit_bytes() -> int | None:
    """The container's limit (control groups version 2), None without one."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None

"""How often the kernel's out-of-memory killer struck, to tell its SIGKILL from others'."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.events")
_VMSTAT = Path("/proc/vmstat")


def oom_kills() -> int | None:
    """Kills so far in our control group if it counts them, else on the machine; None if unknown."""
    for source in (_CGROUP, _VMSTAT):
        if (count := _count(source)) is not None:
            return count
    return None


def _count(source: Path) -> int | None:
    try:
        lines = source.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return None

"""What a process takes of the machine. A process that ended has no figures."""

from __future__ import annotations

import psutil

GIB = 1024**3


def rss_gib(pid: int | None = None) -> float | None:
    """Resident memory of one process (this one by default), or None when it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / GIB
    except psutil.Error:
        return None


class ProcessMeter:
    """CPU and memory of one process; CPU between two calls, 100 is one core."""

    def __init__(self, pid: int | None = None) -> None:
        self._process: psutil.Process | None
        try:
            self._process = psutil.Process(pid)
            self._process.cpu_percent()  # the first call only starts the clock
        except psutil.Error:
            self._process = None

    def cpu_percent(self) -> float | None:
        """Since the call before, or None when the process is gone."""
        try:
            return None if self._process is None else float(self._process.cpu_percent())
        except psutil.Error:
            return None

    def rss_gib(self) -> float | None:
        """Resident memory now, or None when the process is gone."""
        try:
            return None if self._process is None else self._process.memory_info().rss / GIB
        except psutil.Error:
            return None

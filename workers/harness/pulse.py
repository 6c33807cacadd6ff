"""The worker's pulse: heartbeat file, ear, held lines, resource samples, on daemon threads."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from core.protocol.events import ResourceSampled
from workers.harness.reporter import Reporter

log = logging.getLogger(__name__)

TICK_S = 0.25
HEARTBEAT_S = 2.0
SAMPLE_S = 2.0
QUIET_SAMPLE_S = 20.0
_GIB = 1024**3


class Pulse:
    """Runs each of its calls at its own interval until it is stopped.

    The heartbeat says that the process is alive, not that it makes progress: a thread keeps
    beating while a recipe hangs. Progress is judged by events.
    """

    def __init__(self, calls: list[tuple[float, Callable[[], None]]]) -> None:
        self._calls = [(every, call, [0.0]) for every, call in calls]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Beat at once, then go on in the background."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; at most one call is still under way for a moment."""
        self._stop.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        for every, call, due in self._calls:
            if now < due[0]:
                continue
            due[0] = now + every
            try:
                call()
            except Exception:
                log.exception("a call of the pulse failed")


def touch(path: Path) -> None:
    """Set the heartbeat's time; needs no room on the disk once the file is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        path.touch()
    except OSError:
        return


class ResourceSampler:
    """Says `resource.sampled` every two seconds while it changes, every twenty when it does not.

    An idle server would otherwise write 40,000 equal lines a day.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._process = psutil.Process()
        self._process.cpu_percent(None)  # the first call only sets the start of the interval
        self._last: ResourceSampled | None = None
        self._last_at = 0.0

    def __call__(self) -> None:
        """Sample once."""
        now = time.monotonic()
        sample = self._sample()
        if now - self._last_at < QUIET_SAMPLE_S and not _differs(self._last, sample):
            return
        self._last, self._last_at = sample, now
        self._reporter.emit(sample)

    def _sample(self) -> ResourceSampled:
        allocated, reserved = _gpu_memory_gib()
        return ResourceSampled(
            rss_gib=self._process.memory_info().rss / _GIB,
            cpu_percent=self._process.cpu_percent(None),
            gpu_allocated_gib=allocated,
            gpu_reserved_gib=reserved,
        )


def _differs(old: ResourceSampled | None, new: ResourceSampled) -> bool:
    return (
        old is None
        or abs(new.rss_gib - old.rss_gib) > 0.01 * old.rss_gib
        or abs(new.cpu_percent - old.cpu_percent) > 10
        or new.gpu_allocated_gib != old.gpu_allocated_gib
        or new.gpu_reserved_gib != old.gpu_reserved_gib
    )


def _gpu_memory_gib() -> tuple[float | None, float | None]:
    """What the recipe's torch holds on its card; never imports torch, never makes a context."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None, None
    return cuda.memory_allocated() / _GIB, cuda.memory_reserved() / _GIB

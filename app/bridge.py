"""The window's heartbeat: tick the supervisor, announce each changed run once, sample the machine.

No thread touches a run: `Supervisor.tick` reads a bounded bite of the event files in the UI
thread. Only the machine sample, which may wait for a driver, is taken in the background.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background, to_error_info
from core.errors import ErrorInfo
from core.hardware import gpu_backend
from core.hardware.process import GIB

if TYPE_CHECKING:
    from core.hardware import GpuSample
    from core.supervisor.supervisor import Supervisor

TICK_MS = 100
HIDDEN_TICK_MS = 1000
CATCH_UP_MS = 5
"""Between two bites of a long event file; the window stays fluent in between."""
SAMPLE_MS = 1000
HIDDEN_SAMPLE_MS = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MachineSample:
    """How busy the machine is. Ratios are 0 to 1."""

    gpus: tuple[GpuSample, ...] = ()
    gpu_reason: str = ""
    """Why there is no card: an id for `app.messages.reason_text`."""
    cpu_ratio: float | None = None
    """None at first: a share needs two looks, and the start of the window itself is no load."""
    ram_used_gib: float = 0.0
    ram_total_gib: float = 0.0


_cpu_looks = itertools.count()


def _cpu_ratio() -> float | None:
    """Share of all cores that worked since the last call; None at the first."""
    ratio = psutil.cpu_percent(interval=None) / 100
    return ratio if next(_cpu_looks) else None


def sample_machine() -> MachineSample:
    """One sample; slow when a driver is asleep, so never call it in the UI thread."""
    backend = gpu_backend()
    memory = psutil.virtual_memory()
    return MachineSample(
        gpus=tuple(backend.sample()),
        gpu_reason=getattr(backend, "reason", "") or "",
        cpu_ratio=_cpu_ratio(),
        ram_used_gib=(memory.total - memory.available) / GIB,
        ram_total_gib=memory.total / GIB,
    )


class Bridge(QObject):
    """Timers in, signals out."""

    run_changed = Signal(object)
    """RunView, at most one per run per tick."""
    machine_sampled = Signal(object)
    """MachineSample, about once a second."""
    failed = Signal(object)
    """ErrorInfo: the supervisor itself could not go on; said once per kind of error."""

    def __init__(
        self, supervisor: Supervisor, background: Background, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._supervisor = supervisor
        self._background = background
        self._sampling = False
        self._said: set[str] = set()
        self.machine = MachineSample()
        self._calm_ms = TICK_MS
        self._tick_timer = QTimer(self)
        self._tick_timer.timeout.connect(self.tick)
        self._sample_timer = QTimer(self)
        self._sample_timer.timeout.connect(self._sample)
        self.set_window_visible(True)

    def start(self) -> None:
        """Begin to tick."""
        self._tick_timer.start()
        self._sample_timer.start()
        self._sample()

    def stop(self) -> None:
        """No more signals."""
        self._tick_timer.stop()
        self._sample_timer.stop()

    def set_window_visible(self, visible: bool) -> None:
        """A hidden window needs news less often."""
        self._calm_ms = TICK_MS if visible else HIDDEN_TICK_MS
        self._tick_timer.setInterval(self._calm_ms)
        self._sample_timer.setInterval(SAMPLE_MS if visible else HIDDEN_SAMPLE_MS)

    def tick(self) -> None:
        """One round; called by the timer, and by tests."""
        try:
            views = self._supervisor.tick()
        except Exception as e:  # noqa: BLE001 - one unreadable run must not stop the others
            self._report(to_error_info(e), e)
            return
        for view in views:
            self.run_changed.emit(view)
        self._pace()

    def _pace(self) -> None:
        """A run of 100,000 steps is read within a second, not within twenty calm ticks."""
        wanted = CATCH_UP_MS if self._supervisor.catching_up else self._calm_ms
        if self._tick_timer.interval() != wanted:
            self._tick_timer.setInterval(wanted)

    def _sample(self) -> None:
        if not self._sampling:
            self._sampling = True
            self._background.run(self, sample_machine, self._sampled, self._sample_failed)

    def _sampled(self, sample: MachineSample) -> None:
        self._sampling = False
        self.machine = sample
        self.machine_sampled.emit(sample)

    def _sample_failed(self, error: ErrorInfo) -> None:
        self._sampling = False
        self._report(error, None)

    def _report(self, error: ErrorInfo, cause: BaseException | None) -> None:
        key = f"{error.code} {error.params}"
        if key not in self._said:
            self._said.add(key)
            _log.error("bridge: %s", key, exc_info=cause)
            self.failed.emit(error)

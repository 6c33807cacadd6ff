"""Looks at the loop from outside: a loop that hangs cannot say so itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.divergence import Alarm, Detectors
from core.protocol.events import TrainStep

Emit = Callable[[Alarm], None]


class StallWatch:
    """Guards the detectors, which the loop feeds and the pulse thread asks.

    Args:
        detectors: of this run.
        emit: says an alarm.
        clock: seconds, monotonic.
    """

    def __init__(
        self, detectors: Detectors, emit: Emit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._detectors = detectors
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None

    def begin(self) -> None:
        """A step is expected from now on."""
        with self._lock:
            self._since = self._clock()

    def observe(self, step: TrainStep) -> None:
        """A step ended."""
        with self._lock:
            self._since = self._clock()
            alarms = self._detectors.observe(step)
        self._say(alarms)

    def rest(self) -> None:
        """No step is expected: evaluation, saving, a pause."""
        with self._lock:
            self._since = None
            alarms = self._detectors.excuse()
        self._say(alarms)

    def look(self) -> None:
        """Called now and then from another thread."""
        with self._lock:
            alarms = (
                [] if self._since is None else self._detectors.silence(self._clock() - self._since)
            )
        self._say(alarms)

    def _say(self, alarms: list[Alarm]) -> None:
        for alarm in alarms:
            self._emit(alarm)

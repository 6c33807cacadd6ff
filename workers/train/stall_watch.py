"""Looks at the loop from outside: a loop that hangs cannot say so itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from core.divergence import Alarm, Detectors
from core.protocol.events import AlarmRaised, EvalDone, TrainStep

Emit = Callable[[Alarm], None]


class StallWatch:
    """Guards the detectors, which the loop feeds and the pulse thread asks.

    What the loop feeds comes back as alarms to be dealt with; ends of alarms, and a stall, which
    only another thread can see, are said here.

    Args:
        detectors: of this run.
        emit: says an alarm or its end.
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

    def observe(self, step: TrainStep) -> list[AlarmRaised]:
        """A step ended."""
        with self._lock:
            self._since = self._clock()
            alarms = self._detectors.observe(step)
        return self._raised(alarms)

    def observe_eval(self, done: EvalDone) -> list[AlarmRaised]:
        """An evaluation ended."""
        with self._lock:
            alarms = self._detectors.observe_eval(done)
        return self._raised(alarms)

    def went_back(self, state: dict[str, Any], step: int) -> None:
        """The run is back at `step`, where the detectors had this state."""
        with self._lock:
            self._detectors.restore(state)
            self._detectors.after_rollback(step)

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

    def _raised(self, alarms: list[Alarm]) -> list[AlarmRaised]:
        self._say([a for a in alarms if not isinstance(a, AlarmRaised)])
        return [a for a in alarms if isinstance(a, AlarmRaised)]

    def _say(self, alarms: list[Alarm]) -> None:
        for alarm in alarms:
            self._emit(alarm)

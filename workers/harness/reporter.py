"""The worker's voice: events into the run's file, and never an exception into the training loop."""

from __future__ import annotations

import logging

from core.protocol.events import AlarmCleared, AlarmRaised, Event, PhaseChanged
from core.runlog.writer import EventWriter

log = logging.getLogger(__name__)

DISK_ALARM = "disk_full"


class Reporter:
    """Says events. Safe to call from several threads.

    A full disk holds lines back in memory; they are written in order once there is room, with an
    alarm that tells of the gap. Any other trouble of reporting is logged, not raised: a run is
    never lost because it could not be described.
    """

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._holding = False
        self.last_phase = ""
        """What the worker said last that it does."""

    @property
    def num_events(self) -> int:
        """Events said so far, in this and earlier lives of the run."""
        return self._writer.num_events

    @property
    def delayed(self) -> bool:
        """Whether lines wait for room on the disk."""
        return self._writer.held_lines > 0

    def emit(self, event: Event) -> None:
        """Say one event. Never raises."""
        try:
            self._writer.write(event)
            if self._holding or self._writer.held_lines:
                self._watch_disk()
        except Exception:
            log.exception("an event of kind %s could not be reported", type(event).KIND)

    def phase(self, name: str, fraction: float | None = None, detail: str = "") -> None:
        """Say what the worker does now; `fraction` is 0 to 1 where it is known."""
        self.last_phase = name
        self.emit(PhaseChanged(phase=name, fraction=fraction, detail=detail))

    def flush(self) -> bool:
        """Try to write what waits; true when nothing waits any more. Never raises."""
        try:
            done = self._writer.flush()
            if done and self._holding:
                self._watch_disk()
            return done
        except Exception:
            log.exception("held events could not be written")
            return False

    def _watch_disk(self) -> None:
        """Raise the alarm at the first held line, clear it when all are written."""
        held = self._writer.held_lines
        if held and not self._holding:
            self._holding = True
            log.error("the disk is full: events are held in memory")
            self._writer.write(AlarmRaised(alarm=DISK_ALARM, severity="error", value=held))
        elif not held and self._holding:
            self._holding = False
            self._writer.write(AlarmCleared(alarm=DISK_ALARM))

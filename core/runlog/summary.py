"""What a list needs to know of a run, without decoding its whole event file.

One pass over the bytes counts alarms and remembers the last line of each kind of interest; only
those lines are decoded. A growing file is read on from where the last pass ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core.protocol.codec import BadLine, decode_event
from core.protocol.events import (
    AlarmRaised,
    ArtifactSaved,
    EvalDone,
    Event,
    RunFinished,
    RunStarted,
    TrainPlanned,
    TrainStep,
)

E = TypeVar("E", bound=Event)

_BITE_BYTES = 1024 * 1024
_KINDS: tuple[type[Event], ...] = (
    RunStarted, TrainPlanned, TrainStep, ArtifactSaved, RunFinished,
)  # fmt: skip


def _needle(kind: type[Event]) -> bytes:
    # Inside a JSON string the quotes would be escaped, so no prompt can look like this.
    return f'"kind":"{kind.KIND}"'.encode()


_NEEDLES = {kind: _needle(kind) for kind in _KINDS}
_ALARM = _needle(AlarmRaised)
_EVAL = _needle(EvalDone)


@dataclass
class EventDigest:
    """Counts and last words of one event file."""

    path: Path
    offset: int = 0
    alarms: int = 0
    evals: dict[str, EvalDone] = field(default_factory=dict)
    """The newest evaluation, by split."""
    last: dict[type[Event], Event] = field(default_factory=dict)
    stamp: tuple[int, int] = (-1, -1)
    """Size and time of change when it was last read."""

    def update(self) -> None:
        """Read what is new. A missing file is an empty one.

        Raises:
            OSError: it is there but cannot be read.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        stamp = (found.st_size, found.st_mtime_ns)
        if stamp == self.stamp:
            return
        if found.st_size < self.offset:
            self.offset, self.alarms, self.evals, self.last = 0, 0, {}, {}
        self._read()
        self.stamp = stamp

    def get(self, kind: type[E]) -> E | None:
        """The last event of a kind."""
        found = self.last.get(kind)
        return found if isinstance(found, kind) else None

    def _read(self) -> None:
        with self.path.open("rb") as f:
            f.seek(self.offset)
            rest = b""
            while chunk := f.read(_BITE_BYTES):
                data = rest + chunk
                whole = data.rfind(b"\n") + 1
                self._digest(data[:whole])
                self.offset += whole
                rest = data[whole:]

    def _digest(self, data: bytes) -> None:
        self.alarms += data.count(_ALARM)
        self._gather_evals(data)
        for kind, needle in _NEEDLES.items():
            at = data.rfind(needle)
            if at >= 0 and (event := _line_at(data, at)) is not None:
                self.last[kind] = event

    def _gather_evals(self, data: bytes) -> None:
        """An evaluation is one line a split, so its last line alone is not its result."""
        at = data.find(_EVAL)
        while at >= 0:
            event = _line_at(data, at)
            if isinstance(event, EvalDone):
                same = {k: e for k, e in self.evals.items() if e.step == event.step}
                self.evals = {**same, event.split: event}
            at = data.find(_EVAL, at + 1)


def _line_at(data: bytes, at: int) -> Event | None:
    start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
    try:
        return decode_event(data[start:stop])
    except BadLine:
        return None

"""How a worker is stopped: command, then SIGTERM, then SIGKILL of its group.

Driven by ticks, no thread and no sleep: each call looks at the clock and takes at most one rung.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

Rung = Literal["command", "terminate", "kill"]

_ORDER: tuple[Rung, ...] = ("command", "terminate", "kill")


@dataclass(frozen=True)
class StopTimes:
    """How long each rung may take before the next is tried."""

    command_s: float = 60.0
    """Finish the step and write a checkpoint, on a slow disk too."""
    terminate_s: float = 15.0
    kill_s: float = 5.0


@dataclass(frozen=True)
class StopStep:
    """One rung taken."""

    rung: Rung
    time_utc: float
    reason: str

    def as_document(self) -> dict[str, Any]:
        """For `verdict.json`."""
        return {"rung": self.rung, "time_utc": self.time_utc, "reason": self.reason}


class StopLadder:
    """Climbs one rung at a time while the worker lives."""

    def __init__(
        self,
        times: StopTimes | None = None,
        *,
        save: bool = True,
        reason: str = "asked to stop",
        first: int = 0,
    ) -> None:
        self.save = save
        """Whether the command asks for a checkpoint."""
        self._times = times or StopTimes()
        self._next = first
        self._due = 0.0
        self._reason = reason
        self.steps: tuple[StopStep, ...] = ()

    @property
    def rung(self) -> Rung | None:
        """The rung last taken."""
        return self.steps[-1].rung if self.steps else None

    @property
    def killed(self) -> bool:
        """Whether we killed the worker."""
        return self.rung == "kill"

    def hurry(self, reason: str, *, to: Rung = "terminate") -> None:
        """Take the next rung now, at least `to`: the user pressed again."""
        self._next = max(self._next, _ORDER.index(to))
        self._due, self._reason = 0.0, reason

    def next(self, now: float | None = None) -> Rung | None:
        """The rung to take now, or None to wait. `now` is seconds of the monotonic clock."""
        now = time.monotonic() if now is None else now
        if now < self._due:
            return None
        rung = _ORDER[self._next]
        wait_s = getattr(self._times, f"{rung}_s")
        self.steps = (*self.steps, StopStep(rung, time.time(), self._reason))
        self._due, self._reason = now + wait_s, f"still alive {wait_s:g} s after {rung}"
        self._next = min(self._next + 1, len(_ORDER) - 1)
        return rung

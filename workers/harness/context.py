"""What a recipe gets: its run, its voice, its ear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.protocol.events import Outcome
from core.runlog.run_dir import RunDir
from workers.harness.control import Control, StopRequest
from workers.harness.reporter import Reporter
from workers.harness.team import Team


@dataclass
class WorkerContext:
    """Handed to the recipe by `run_worker`."""

    run: RunDir
    document: dict[str, Any]
    """`run.json`."""
    reporter: Reporter
    control: Control
    stop: StopRequest
    resumed_from_step: int | None = None
    """None in a run's first life; else the checkpoint's step, 0 when there was none."""
    outcome: Outcome | None = None
    """A recipe may set it; otherwise "stopped" when a stop was asked for, else "completed"."""
    team: Team = field(default_factory=Team)
    """The processes that train together; alone, unless a recipe joins others."""
    _at_beat: list[Callable[[], None]] = field(default_factory=list, repr=False)

    @property
    def spec(self) -> dict[str, Any]:
        """The dump of the job's spec class."""
        spec = self.document.get("spec", {})
        return spec if isinstance(spec, dict) else {}

    @property
    def stop_requested(self) -> bool:
        """Whether to save and end; cheap enough to ask on every micro-step."""
        return self.stop.asked

    def every_beat(self, call: Callable[[], None]) -> None:
        """Call from the pulse thread about twice a second, for example to look for a stall.

        The call must be quick and thread-safe; what it raises is logged and goes no further.
        """
        self._at_beat.append(call)

    def forget_beats(self) -> None:
        """Call none of them any more: what they look at is taken apart."""
        self._at_beat.clear()

    def beat(self) -> None:
        """Run what `every_beat` was given."""
        for call in tuple(self._at_beat):
            call()

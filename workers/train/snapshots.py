"""Healthy states of a run that a rollback can return to.

An adapter with its optimizer is megabytes: copies are kept in the computer's memory, every few
steps. A large model trained whole is not; there the checkpoints on disk have to do. Those also
serve a run that was resumed a moment ago and has no copies yet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import psutil

from core.errors import AppError
from core.runlog.run_dir import RunDir
from workers.harness.team import Team
from workers.train import checkpoint, checkpoint_files
from workers.train.checkpoint import Contents

MEMORY_SHARE = 0.25
"""Of the computer's free memory, for all copies together."""
MAX_BYTES = 8 * 1024**3

log = logging.getLogger(__name__)

Source = Literal["memory", "checkpoint"]


@dataclass(frozen=True)
class Snapshot:
    """A state that was found again."""

    contents: Contents
    source: Source


def affordable(trainable: int, wanted: int) -> int:
    """How many copies of so many trained weights fit: fp32 weight and two moments each."""
    room = min(MAX_BYTES, MEMORY_SHARE * psutil.virtual_memory().available)
    return min(wanted, int(room // (12 * max(trainable, 1))))


class Snapshots:
    """The newest states of one run.

    Args:
        run: whose checkpoints count as well.
        keep: copies in memory; 0 for none.
        every_steps: how far they are apart.
    """

    def __init__(
        self, run: RunDir, *, keep: int, every_steps: int, team: Team | None = None
    ) -> None:
        self._run = run
        self._keep = keep
        self._every_steps = every_steps
        self._team = team or Team()
        self._copies: dict[int, Contents] = {}

    @property
    def in_memory(self) -> bool:
        """Whether copies are kept at all."""
        return self._keep > 0

    @property
    def steps(self) -> list[int]:
        """Steps done in each state that can be restored, in rising order. A meeting."""
        return self._team.share(sorted({*self._copies, *checkpoint_files.steps(self._run)}))

    def wants(self, step: int) -> bool:
        """Whether a copy of this step is due: on a fixed grid, so that a resumed run takes the
        same ones as an unbroken run.
        """
        return self._keep > 0 and step % self._every_steps == 0 and step not in self._copies

    def keep(self, contents: Contents) -> None:
        """Keep a copy in memory and let the oldest go."""
        self._copies[contents.state.step] = contents
        for step in sorted(self._copies)[: -self._keep]:
            del self._copies[step]

    def find(self, step: int) -> Snapshot | None:
        """The state of a step; None when its checkpoint turns out to be damaged. A meeting."""
        if step in self._copies:
            return Snapshot(self._copies[step], "memory")
        try:
            folder = self._run.checkpoints / checkpoint_files.folder_name(step)
            return Snapshot(checkpoint.read_together(folder, self._team), "checkpoint")
        except AppError as e:
            log.error("no way back to step %d: %s", step, e)
            return None

    def drop_after(self, step: int) -> None:
        """Forget what a rollback to `step` has left; the checkpoints are the saver's."""
        self._copies = {s: c for s, c in self._copies.items() if s <= step}

"""The processes that work on one run together. Alone, a process agrees with itself.

A rule holds for everything between two steps: what depends on this process alone - its clock, its
memory, its disk, a command that only it has heard - is decided by the main process and taken from
`share`; else two processes go different ways and wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Team:
    """One process alone. `workers.train.parallel.team` has the one of many."""

    rank: int = 0
    size: int = 1
    data_rank: int = 0
    """Which share of a step's samples is this process's; the same for slices of one model."""
    data_size: int = 1
    in_step: bool = False
    """Every forward pass must be made by all processes together (weights are split)."""

    @property
    def is_main(self) -> bool:
        """The one that writes files, says events and hears commands."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """The main process's value, in all of them. A meeting: all must call it."""
        return value

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all shares of the samples, in float64. A meeting: all must call it."""
        return list(values)

    def agree(self) -> None:
        """Make a stop that was asked for known to all, at this very point. A meeting."""

    def begin(self) -> None:
        """All is prepared: from here on all obey at the same points. A meeting."""

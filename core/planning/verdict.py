"""Whether a training fits, and who else uses the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.hardware.gpu_users import GpuUser
from core.planning.memory import MemoryForecast

TIGHT = 0.92
"""Above this share of what is free the forecast's own error decides."""

Fit = Literal["fits", "tight", "does_not_fit"]


@dataclass(frozen=True)
class Room:
    """The memory that a run would get."""

    total_gib: float
    free_gib: float
    source: Literal["cuda", "process"] = "cuda"
    name: str = ""
    others: tuple[GpuUser, ...] = ()

    @property
    def taken_gib(self) -> float:
        """What others hold now."""
        return max(0.0, self.total_gib - self.free_gib)


@dataclass(frozen=True)
class Verdict:
    """A forecast against a room."""

    fit: Fit
    needed_gib: float
    room: Room

    @property
    def missing_gib(self) -> float:
        """Over what is free; 0 when it fits."""
        return max(0.0, self.needed_gib - self.room.free_gib)

    @property
    def would_fit_alone(self) -> bool:
        """It is only the other programs that are in the way."""
        return self.fit == "does_not_fit" and self.needed_gib <= self.room.total_gib * TIGHT


def judge(forecast: MemoryForecast, room: Room) -> Verdict:
    """Fits, tight or does not fit."""
    needed = forecast.total_gib
    if needed > room.free_gib:
        return Verdict("does_not_fit", needed, room)
    return Verdict("tight" if needed > room.free_gib * TIGHT else "fits", needed, room)

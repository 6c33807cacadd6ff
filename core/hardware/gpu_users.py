"""Which programs hold memory of a card, so that "out of memory" can name who has it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from core.hardware.gpu import GpuBackend, GpuSample

SMALLEST_GIB = 0.05
"""Desktops hold a few MiB for every window; that is not what was missing."""


@dataclass(frozen=True)
class GpuUser:
    """Another program that holds memory of the card."""

    pid: int
    name: str
    """The program's name; of DeepDeck's own processes the module; empty when it is not told."""
    memory_gib: float | None
    """None where the driver does not tell (Windows and WSL)."""


def gpu_users(
    backend: GpuBackend, index: int = 0, *, besides: Iterable[int] = ()
) -> tuple[GpuUser, ...]:
    """Programs on one card, the largest first; this process and `besides` are left out."""
    sample = next((s for s in backend.sample() if s.index == index), None)
    return users_of(sample, besides={os.getpid(), *besides}) if sample else ()


def users_of(sample: GpuSample, *, besides: Iterable[int] = ()) -> tuple[GpuUser, ...]:
    """The same, of a sample at hand."""
    left_out = frozenset(besides)
    held = sample.process_memory_gib or {}
    users = [
        GpuUser(pid, program_name(pid), gib)
        for pid, gib in held.items()
        if pid not in left_out and gib >= SMALLEST_GIB
    ]
    return tuple(sorted(users, key=lambda user: -(user.memory_gib or 0.0)))


def unnamed_gib(sample: GpuSample, users: Iterable[GpuUser], own_gib: float = 0.0) -> float:
    """Held by nobody who is named: other containers, the desktop, the driver itself."""
    named = sum(user.memory_gib or 0.0 for user in users)
    return max(0.0, (sample.memory_used_gib or 0.0) - named - own_gib)


def spills_over(sample: GpuSample, own_gib: float) -> bool:
    """A process holds more than the card has: the driver has moved the rest into the computer's
    memory, as Windows does, and every step crawls over the bus.
    """
    total = sample.memory_total_gib
    return total is not None and own_gib > total + 1 / 1024


def program_name(pid: int) -> str:
    """What people call the program; "workers.serve" for one of DeepDeck's own."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            own = next((a for a in process.cmdline() if a.startswith("workers.")), "")
            return own or process.name()
    except psutil.Error:
        return ""

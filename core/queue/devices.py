"""One training a card: who gets which. Pure."""

from __future__ import annotations

from collections.abc import Iterable

CPU = "cpu"


def devices_of(device: str, processes: int, cards: int) -> frozenset[str]:
    """What a started training keeps busy.

    `device` is the spec's: "auto" means the first card, or the processor where there is none.
    Several processes take that many cards from the first on.
    """
    if device == CPU or cards == 0:
        return frozenset({CPU})
    if processes > 1:
        return frozenset(f"cuda:{i}" for i in range(processes))
    _, _, number = device.partition(":")
    return frozenset({f"cuda:{number or 0}"})


def choose_device(device: str, processes: int, cards: int, busy: Iterable[str]) -> str | None:
    """Where a waiting training can start now: the spec's `device` to use, or None to wait on.

    "auto" takes the first free card; a named card is waited for.
    """
    taken = set(busy)
    if device in ("auto", "cuda") and cards and processes == 1:
        free = (f"cuda:{i}" for i in range(cards))
        return next((name for name in free if name not in taken), None)
    if devices_of(device, processes, cards) & taken:
        return None
    return CPU if device == "auto" and not cards else device

"""Watches memory and power from a thread while something runs."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

import psutil

from core.hardware import GpuBackend, GpuSample, gpu_backend

_EVERY_S = 0.02
_POWER_EVERY = 5
"""Asking NVML takes a few milliseconds."""


class Sampler:
    """Peak of this process's resident memory, and mean power of a card.

    Args:
        card: number of the card whose power is read; None without one.
        backend: where samples of cards come from.
    """

    def __init__(self, card: int | None, backend: GpuBackend) -> None:
        self._process = psutil.Process()
        self._card, self._backend = card, backend
        self._done = threading.Event()
        self._watts: list[float] = []
        self.peak_bytes = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._run, daemon=True, name="sampler")

    @property
    def mean_power_w(self) -> float | None:
        """None without a card, or one that does not tell."""
        return sum(self._watts) / len(self._watts) if self._watts else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while True:
            self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)
            if self._card is not None and count % _POWER_EVERY == 0:
                self._read_power(self._card)
            count += 1
            if self._done.wait(_EVERY_S):
                return

    def _read_power(self, card: int) -> None:
        sample = card_sample(self._backend, card)
        if sample is not None and sample.power_w is not None:
            self._watts.append(sample.power_w)


def card_sample(backend: GpuBackend, card: int) -> GpuSample | None:
    """One card now."""
    return next((s for s in backend.sample() if s.index == card), None)


def own_card(device: str) -> int | None:
    """NVML's number of the one card that this process sees; None without a card."""
    if device != "cuda":
        return None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.isdigit():
        return int(first)
    return _by_uuid(first) or 0


def _by_uuid(wanted: str) -> int | None:
    """A visible card may be named by (the begin of) its uuid."""
    if not wanted:
        return None
    cards = gpu_backend().sample()
    return next((c.index for c in cards if c.uuid.startswith(wanted)), None)

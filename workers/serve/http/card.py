"""The card's memory, all its users together, as NVML tells it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from core.hardware.gpu import GpuBackend, GpuSample
from core.hardware.nvml import open_nvml


@dataclass(frozen=True)
class CardUse:
    """Memory of one card."""

    used_gib: float
    total_gib: float
    name: str = ""

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.used_gib / self.total_gib if self.total_gib else 0.0


class CardWatch:
    """The newest figures of the card that the model lies on.

    `look` asks the driver, which takes milliseconds: call it on a thread, about once a second.

    Args:
        backend: made at the first look when not given.
    """

    def __init__(self, backend: GpuBackend | None = None) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self.card: str | None = None
        """Index or uuid of a card (`GpuSample`); None while the model lies on none."""
        self.use: CardUse | None = None

    def look(self) -> None:
        """Ask the driver; nothing on a computer without a card."""
        if self.card is None or not self._lock.acquire(blocking=False):
            return
        try:
            self._backend = self._backend or open_nvml()
            found = [s for s in self._backend.sample() if self._is_it(s)]
            self.use = _use(found[0]) if found else None
        finally:
            self._lock.release()

    def _is_it(self, sample: GpuSample) -> bool:
        return self.card in (str(sample.index), sample.uuid) or (
            bool(sample.uuid) and self.card is not None and sample.uuid.startswith(self.card)
        )


def _use(sample: GpuSample) -> CardUse | None:
    if sample.memory_used_gib is None or sample.memory_total_gib is None:
        return None
    return CardUse(sample.memory_used_gib, sample.memory_total_gib, sample.name)


def card_of(device: str, visible: str) -> str | None:
    """Which card torch's name means, for NVML, which knows nothing of `CUDA_VISIBLE_DEVICES`.

    Args:
        device: as in `ModelFacts`: "cpu", "cuda", "cuda:1".
        visible: the value of `CUDA_VISIBLE_DEVICES`, or nothing.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return None
    index = int(number) if number.isdigit() else 0
    names = [n.strip() for n in visible.split(",") if n.strip()]
    return names[index] if index < len(names) else str(index)

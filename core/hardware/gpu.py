"""What every GPU backend tells, and the backend of a machine without a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

NoGpuReason = Literal[
    "gpu.no_library",  # no NVIDIA driver is installed here
    "gpu.driver_not_loaded",  # the library is there, the kernel driver does not answer
    "gpu.version_mismatch",  # the driver was updated; a reboot is needed
    "gpu.no_permission",
    "gpu.no_device",  # the driver answers, and knows no card
    "gpu.lost",  # a card fell off the bus
    "gpu.failed",  # anything else; `detail` says it
]
"""Why there are no figures of a card; `app.messages` has the sentences."""


@dataclass(frozen=True)
class GpuSample:
    """One card at one moment. `None` means the card does not tell: show "n/a", never 0."""

    index: int
    name: str
    uuid: str = ""
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    utilization: float | None = None
    """Share of the last sample period in which a kernel ran, 0 to 1."""
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    fan: float | None = None
    """0 to 1 of the full speed."""
    sm_clock_mhz: float | None = None
    slowdowns: tuple[str, ...] | None = None
    """What holds the clocks down now: power_cap, thermal, power_brake; empty when nothing does."""
    pcie_generation: int | None = None
    pcie_width: int | None = None
    compute_capability: tuple[int, int] | None = None
    process_memory_gib: dict[int, float] | None = None
    """By pid; not available under WDDM (Windows, WSL)."""
    ecc_errors: int | None = None
    """Uncorrected memory errors since the driver was loaded."""


class GpuBackend(Protocol):
    """A source of GPU samples."""

    @property
    def reason(self) -> NoGpuReason | None:
        """Why there is no card, or None when samples come."""

    @property
    def detail(self) -> str:
        """The library's own words, for the diagnostics."""

    @property
    def driver_version(self) -> str | None:
        """For example 560.35.03."""

    def sample(self) -> list[GpuSample]:
        """All cards now. Never raises: a card that fails is left out."""

    def close(self) -> None:
        """Let go of the driver, so that a laptop's card can sleep. `sample` opens it again."""


@dataclass(frozen=True)
class NoGpu:
    """The backend of a machine without a usable NVIDIA card."""

    reason: NoGpuReason | None
    detail: str = ""
    driver_version: str | None = None

    def sample(self) -> list[GpuSample]:
        """No cards."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""

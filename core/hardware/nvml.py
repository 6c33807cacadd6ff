"""NVIDIA's management library, through `nvidia-ml-py`. Never makes a CUDA context.

Every getter stands alone: a card, a driver or a virtual machine that lacks one still tells the
rest (https://docs.nvidia.com/deploy/nvml-api/).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from core.hardware.gpu import GpuBackend, GpuSample, NoGpu, NoGpuReason
from core.hardware.process import GIB

T = TypeVar("T")

# Bits of nvmlClocksEventReasons that mean "slower than asked"; idle and application clocks do not.
_SLOWDOWN_BITS = {
    0x0000000000000004: "power_cap",
    0x0000000000000008: "hardware_slowdown",
    0x0000000000000020: "thermal",
    0x0000000000000040: "thermal_hardware",
    0x0000000000000080: "power_brake",
}
_REASONS: dict[str, NoGpuReason] = {
    "NVMLError_LibraryNotFound": "gpu.no_library",
    "NVMLError_DriverNotLoaded": "gpu.driver_not_loaded",
    "NVMLError_LibRmVersionMismatch": "gpu.version_mismatch",
    "NVMLError_NoPermission": "gpu.no_permission",
    "NVMLError_GpuIsLost": "gpu.lost",
}


def open_nvml(library: Any = None) -> GpuBackend:
    """The backend of this machine: NVML, or `NoGpu` with the reason.

    Args:
        library: the `pynvml` module; imported here when not given, so that it costs nothing else.
    """
    try:
        nvml = library or importlib.import_module("pynvml")
    except ImportError as e:
        return NoGpu("gpu.no_library", str(e))
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except (nvml.NVMLError, OSError) as e:
        return NoGpu(_reason(e), str(e))
    if count == 0:
        nvml.nvmlShutdown()
        return NoGpu("gpu.no_device")
    return NvmlBackend(nvml)


def _reason(error: BaseException) -> NoGpuReason:
    return _REASONS.get(type(error).__name__, "gpu.failed")


class NvmlBackend:
    """Samples through an initialized NVML."""

    reason: NoGpuReason | None = None
    detail: str = ""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._open = True
        self._driver = self._get(nvml.nvmlSystemGetDriverVersion)

    @property
    def driver_version(self) -> str | None:
        """As the driver says it."""
        return _text(self._driver) if self._driver else None

    def sample(self) -> list[GpuSample]:
        """All cards now; on a lost driver the list is empty and `reason` says why."""
        try:
            if not self._open:
                self._nvml.nvmlInit()
                self._open = True
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as e:
            self.reason, self.detail = _reason(e), str(e)
            return []
        self.reason, self.detail = None, ""
        return [s for i in range(count) if (s := self._sample_one(i)) is not None]

    def close(self) -> None:
        """Shut NVML down until the next sample."""
        if self._open:
            self._get(self._nvml.nvmlShutdown)
            self._open = False

    def _sample_one(self, index: int) -> GpuSample | None:
        n = self._nvml
        handle = self._get(n.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            return None
        memory = self._get(n.nvmlDeviceGetMemoryInfo, handle)
        rates = self._get(n.nvmlDeviceGetUtilizationRates, handle)
        return GpuSample(
            index=index,
            name=_text(self._get(n.nvmlDeviceGetName, handle) or f"GPU {index}"),
            uuid=_text(self._get(n.nvmlDeviceGetUUID, handle) or ""),
            memory_used_gib=_scaled(memory and memory.used, 1 / GIB),
            memory_total_gib=_scaled(memory and memory.total, 1 / GIB),
            utilization=_scaled(rates and rates.gpu, 0.01) if rates is not None else None,
            temperature_c=_scaled(
                self._get(n.nvmlDeviceGetTemperature, handle, n.NVML_TEMPERATURE_GPU)
            ),
            power_w=_scaled(self._get(n.nvmlDeviceGetPowerUsage, handle), 0.001),
            power_limit_w=_scaled(self._get(n.nvmlDeviceGetEnforcedPowerLimit, handle), 0.001),
            fan=_scaled(self._get(n.nvmlDeviceGetFanSpeed, handle), 0.01),
            sm_clock_mhz=_scaled(self._get(n.nvmlDeviceGetClockInfo, handle, n.NVML_CLOCK_SM)),
            slowdowns=self._slowdowns(handle),
            pcie_generation=self._get(n.nvmlDeviceGetCurrPcieLinkGeneration, handle),
            pcie_width=self._get(n.nvmlDeviceGetCurrPcieLinkWidth, handle),
            compute_capability=self._get(n.nvmlDeviceGetCudaComputeCapability, handle),
            process_memory_gib=self._process_memory(handle),
            ecc_errors=self._get(
                n.nvmlDeviceGetTotalEccErrors,
                handle,
                n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                n.NVML_VOLATILE_ECC,
            ),
        )

    def _slowdowns(self, handle: Any) -> tuple[str, ...] | None:
        n = self._nvml
        # Renamed in driver 535; older bindings know only the second name.
        getter = getattr(n, "nvmlDeviceGetCurrentClocksEventReasons", None) or getattr(
            n, "nvmlDeviceGetCurrentClocksThrottleReasons", None
        )
        bits = self._get(getter, handle) if getter else None
        if bits is None:
            return None
        return tuple(name for bit, name in _SLOWDOWN_BITS.items() if bits & bit)

    def _process_memory(self, handle: Any) -> dict[int, float] | None:
        computing = self._get(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        if computing is None or any(p.usedGpuMemory is None for p in computing):
            return None
        # A browser or a game holds memory as well. A program that does both is in both lists.
        drawing = self._processes_that_draw(handle)
        return {p.pid: p.usedGpuMemory / GIB for p in (*drawing, *computing)}

    def _processes_that_draw(self, handle: Any) -> list[Any]:
        getter = getattr(self._nvml, "nvmlDeviceGetGraphicsRunningProcesses", None)
        found = self._get(getter, handle) if getter else None
        return [p for p in found or () if p.usedGpuMemory is not None]

    def _get(self, getter: Callable[..., T], *args: Any) -> T | None:
        """The answer, or None when this card or driver has none."""
        try:
            return getter(*args)
        except (self._nvml.NVMLError, AttributeError, OSError):
            return None


def _scaled(value: float | None, factor: float = 1.0) -> float | None:
    return None if value is None else value * factor


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

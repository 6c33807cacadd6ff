"""Where and in which precision to train, and what it costs in memory."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil

from core.errors import AppError, ErrorCode, UsageError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

_GIB = 1024**3
_TRIED = re.compile(r"[Tt]ried to allocate ([\d.]+) (KiB|MiB|GiB)|allocate (\d+) bytes")
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": _GIB}

_CARD_IS_GONE = (
    "GPU is lost",
    "unspecified launch failure",
    "the launch timed out",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "hardware stack error",
    "no CUDA-capable device",
    "CUDA-capable device(s) is/are busy or unavailable",
    "driver shutting down",
    "unknown error",
)

DType = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Place:
    """A device and how to compute on it."""

    device: str
    """"cpu" or "cuda"; a card's number was made the only visible one."""
    dtype: DType
    """Of the forward pass. Trained weights are fp32 in every case."""

    @property
    def base_dtype(self) -> torch.dtype:
        """Of the frozen weights."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.dtype]

    def accelerator(self) -> Accelerator:
        """What accelerate gives: placement, autocast, loss scaling and clipping for this place."""
        from accelerate import Accelerator

        mixed = "no" if self.dtype == "fp32" else self.dtype
        return Accelerator(mixed_precision=mixed, cpu=self.device == "cpu")


def show_only(device: str) -> None:
    """Make "cuda:1" the one card this process sees. Must run before torch is imported."""
    _, _, number = device.partition(":")
    if number:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        cards = visible.split(",") if visible else []
        os.environ["CUDA_VISIBLE_DEVICES"] = (
            cards[int(number)] if int(number) < len(cards) else number
        )


def choose_place(device: str, precision: str) -> Place:
    """The place for a spec's `device` and `precision`, after `show_only`.

    Raises:
        UsageError: `input.bad_value` for a card that is not there or a precision it has not.
    """
    import torch

    has_card = torch.cuda.is_available()
    if device.startswith("cuda") and not has_card:
        raise UsageError(
            ErrorCode.BAD_VALUE, field="device", value=device, detail="torch sees no CUDA card"
        )
    kind = "cuda" if has_card and device != "cpu" else "cpu"
    if precision == "auto":
        return Place(kind, "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported() else "fp32")
    if precision == "fp16" and kind == "cpu":
        raise UsageError(
            ErrorCode.BAD_VALUE, field="precision", value=precision, detail="fp16 needs a card"
        )
    if precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError(
            ErrorCode.BAD_VALUE, field="precision", value=precision, detail="the card has no bf16"
        )
    return Place(kind, precision)  # type: ignore[arg-type]


class MemoryMeter:
    """Memory of the training: the card's allocator, or the process where there is no card."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._process = psutil.Process()
        self._peak = 0
        self.reserved_gib: float | None = None
        """What the allocator held of the card at the last reading; None without a card."""

    @property
    def source(self) -> str:
        """Whose memory it is, as in `train.plan`: "cuda" or "process"."""
        return "cuda" if self._cuda else "process"

    @property
    def limit_gib(self) -> float:
        """What the card or the machine has."""
        if self._cuda:
            import torch

            return torch.cuda.get_device_properties(0).total_memory / _GIB
        return psutil.virtual_memory().total / _GIB

    def read_gib(self) -> tuple[float, float]:
        """Now, and the peak so far. Reads counters; never waits for the card."""
        if self._cuda:
            import torch

            # `memory_allocated` and its twin each flatten and sort the whole statistics: 0.7 ms
            # a step together on an H200's host, most of what telling a step cost.
            stats = torch.cuda.memory_stats_as_nested_dict()
            if not stats:  # the card was not touched yet
                return 0.0, 0.0
            held = stats["allocated_bytes"]["all"]
            self.reserved_gib = stats["reserved_bytes"]["all"]["current"] / _GIB
            return held["current"] / _GIB, held["peak"] / _GIB
        now = self._process.memory_info().rss
        self._peak = max(self._peak, now)
        return now / _GIB, self._peak / _GIB

    def free_gib(self) -> float:
        """What could still be allocated."""
        if self._cuda:
            import torch

            free = torch.cuda.mem_get_info()[0] / _GIB
            share = getattr(torch.cuda, "get_per_process_memory_fraction", lambda: 1.0)()
            held = torch.cuda.memory_reserved() / _GIB
            return max(0.0, min(free, share * self.limit_gib - held))
        return psutil.virtual_memory().available / _GIB


def out_of_memory(e: BaseException, meter: MemoryMeter) -> AppError | None:
    """The error with numbers, when `e` says that memory ran out; else None.

    `needed_gib` is what was held plus the allocation that failed.
    """
    text = str(e)
    if not _says_out_of_memory(e, text):
        return None
    held, _ = meter.read_gib()
    return AppError(
        ErrorCode.TRAIN_OUT_OF_MEMORY,
        needed_gib=round(held + tried_bytes(text) / _GIB, 2),
        free_gib=round(meter.free_gib(), 2),
        detail=text.splitlines()[0] if text else type(e).__name__,
    )


def _says_out_of_memory(e: BaseException, text: str) -> bool:
    """Torch's allocators, the driver itself, and cuBLAS when it wants its workspace."""
    if isinstance(e, MemoryError) or type(e).__name__ == "OutOfMemoryError":
        return True
    words = ("allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(e, RuntimeError) and any(said in text for said in words)


def tried_bytes(text: str) -> float:
    """Size of the allocation that failed, as the message says it; 0 when it does not."""
    found = _TRIED.search(text)
    if not found:
        return 0.0
    amount, unit, plain = found.groups()
    return float(plain) if plain else float(amount) * _UNITS[unit]


def card_lost(e: BaseException, device: str) -> AppError | None:
    """`train.gpu_lost` when `e` says that the card itself is gone or failing; else None.

    What a program does wrong (an index out of range, a missing kernel) is not among it. The words
    are those of the CUDA runtime:
    https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
    """
    text = str(e)
    if "CUDA" not in text or not any(words in text for words in _CARD_IS_GONE):
        return None
    return AppError(ErrorCode.TRAIN_GPU_LOST, device=device, detail=text.splitlines()[0][:500])

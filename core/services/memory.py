"""The memory that a training would need, against what the machine has free now."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from core.config.train import TrainSpec
from core.datasets import Dataset
from core.hardware import GpuSample, gpu_backend, users_of
from core.hardware.machine import memory_limit_bytes
from core.planning import MemoryForecast, ModelShape, Room, Situation, Verdict, estimate, judge
from core.planning.calibration import Calibration, method_of
from core.planning.ladder import Circumstances, ladder
from core.protocol.events import LadderRung

GIB = 1024**3
_READ_AT_MOST = 64 * 1024**2
_BYTES_A_TOKEN = 2.0
"""Few: English has over four, Chinese about five. A row is rather thought too long."""
_TEMPLATE_TOKENS = 16

Sampler = Callable[[], list[GpuSample]]


def forecast(
    spec: TrainSpec,
    shape: ModelShape | None,
    dataset: Dataset,
    *,
    cards: list[GpuSample] | None = None,
    calibration: Calibration | None = None,
) -> tuple[MemoryForecast, Verdict] | None:
    """The forecast and whether it fits; None when the model's sizes are not known.

    Args:
        spec: what is asked for; neither model nor data are read for it.
        shape: the model's sizes.
        dataset: where the longest sample is looked for.
        cards: what NVML says now; asked when not given.
        calibration: what runs before have taught.
    """
    if shape is None:
        return None
    cards = gpu_backend().sample() if cards is None else cards
    card = card_of(spec, cards)
    situation = situation_of(spec, dataset, card, shape.context_tokens)
    if calibration is not None and card is not None:
        correction = calibration.correction(card.name, method_of(spec))
        situation = situation.corrected(correction)
    found = estimate(shape, spec, situation)
    return found, judge(found, room_of(card))


def measures(spec: TrainSpec, shape: ModelShape | None, dataset: Dataset) -> tuple[LadderRung, ...]:
    """What would make it smaller, in the order in which it should be tried."""
    cards = gpu_backend().sample()
    card = card_of(spec, cards)
    context = shape.context_tokens if shape else None
    situation = situation_of(spec, dataset, card, context)
    installed = importlib.util.find_spec("bitsandbytes") is not None
    return ladder(Circumstances(shape, spec, situation, installed, max(1, len(cards))))


def card_of(spec: TrainSpec, cards: list[GpuSample]) -> GpuSample | None:
    """The card that a spec would train on; None for the processor."""
    if spec.device == "cpu" or not cards or not torch_has_cuda():
        return None
    number = spec.device.partition(":")[2]
    wanted = int(number) if number else _first_visible()
    return next((c for c in cards if c.index == wanted), cards[0])


def room_of(card: GpuSample | None) -> Room:
    """What is free now on the card, or in the computer where there is none."""
    if card is None or card.memory_total_gib is None:
        return _computer()
    used = card.memory_used_gib or 0.0
    total = card.memory_total_gib
    return Room(total, max(0.0, total - used), "cuda", card.name, users_of(card))


def situation_of(
    spec: TrainSpec, dataset: Dataset, card: GpuSample | None, context_tokens: int | None
) -> Situation:
    """Device, precision, and the longest row as far as bytes tell."""
    limit = min(spec.seq_len, context_tokens or spec.seq_len)
    longest = limit if spec.packing else min(limit, longest_tokens(dataset) or limit)
    return Situation(
        tokens_longest=longest,
        flat=spec.packing,
        device="cpu" if card is None else "cuda",
        dtype=_dtype(spec, card),
        compute_capability=card.compute_capability if card else None,
    )


def longest_tokens(dataset: Dataset) -> int | None:
    """More than any sample has, by the longest line of the files; None when it cannot be told."""
    lengths = [_longest_line(file.path) for file in dataset.train]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths) or not known:
        return None
    return int(max(known) / _BYTES_A_TOKEN) + _TEMPLATE_TOKENS


def _longest_line(path: Path) -> int | None:
    """In bytes; None for a file that is not a line a sample, or too large to look through now."""
    if path.suffix != ".jsonl":
        return None
    try:
        if path.stat().st_size > _READ_AT_MOST:
            return None
        with path.open("rb") as lines:
            return max((len(line) for line in lines), default=0)
    except OSError:
        return None


def _dtype(spec: TrainSpec, card: GpuSample | None) -> Any:
    if spec.precision != "auto":
        return spec.precision
    if card is None:
        return "fp32"
    # As torch counts it: bf16 is computed from Ampere on.
    return "bf16" if (card.compute_capability or (8, 0)) >= (8, 0) else "fp32"


def _first_visible() -> int:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    return int(first) if first.isdigit() else 0


def torch_has_cuda() -> bool:
    """By its version alone: importing torch takes seconds."""
    try:
        return "+cpu" not in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False


def _computer() -> Room:
    memory = psutil.virtual_memory()
    limit = memory_limit_bytes()
    total, free = memory.total, memory.available
    if limit is not None and limit < total:
        total, free = limit, min(free, limit)
    return Room(total / GIB, free / GIB, "process")

"""The memory that a server would need, against what its card or computer has free now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.config.serve import ServeSpec
from core.hardware import GpuSample
from core.hardware.machine import memory_limit_bytes
from core.planning.serve_memory import (
    ServeForecast,
    ServeLoad,
    ServePrecision,
    forecast_server,
)
from core.planning.shapes import ModelShape
from core.services.memory import torch_has_cuda

GIB = 1024**3
_LEAST_CACHE_GIB = 2.0
"""16-bit weights are taken when so much is left for the cache; else 4-bit ones."""
_MAX_ADAPTER_FILES = 64


@dataclass(frozen=True)
class ServeRoom:
    """Where a server would live, and what it would get there."""

    device: str
    """"cpu" or "cuda:N"."""
    total_gib: float
    used_gib: float
    """By everybody now."""
    budget_gib: float
    """What the server may take."""
    name: str = ""
    compute_capability: tuple[int, int] | None = None

    @property
    def on_card(self) -> bool:
        """There is a card for it."""
        return self.device != "cpu"


@dataclass(frozen=True)
class ServePlan:
    """A forecast with its room."""

    room: ServeRoom
    precision: ServePrecision
    forecast: ServeForecast


def room_for(spec: ServeSpec, cards: list[GpuSample], *, freed_gib: float = 0.0) -> ServeRoom:
    """The card (or computer) that a spec would use.

    Args:
        spec: what is asked for.
        cards: what NVML says now.
        freed_gib: held by somebody who would give it free first.
    """
    card = card_for(spec, cards)
    if card is None or card.memory_total_gib is None:
        return _computer(spec, freed_gib)
    used = max(0.0, (card.memory_used_gib or 0.0) - freed_gib)
    budget = max(0.0, card.memory_total_gib * spec.memory_share - used)
    return ServeRoom(
        f"cuda:{card.index}",
        card.memory_total_gib,
        used,
        budget,
        card.name,
        card.compute_capability,
    )


def card_for(spec: ServeSpec, cards: list[GpuSample]) -> GpuSample | None:
    """The card that a spec means; None for the processor."""
    if spec.device == "cpu" or not cards or not (torch_has_cuda() or _brings_its_own(spec)):
        return None
    number = spec.device.partition(":")[2]
    wanted = int(number) if number else _first_visible()
    return next((c for c in cards if c.index == wanted), cards[0])


def plan_server(
    spec: ServeSpec, shape: ModelShape, cards: list[GpuSample], *, freed_gib: float = 0.0
) -> ServePlan:
    """What a server will take, with precision and context as it will choose them itself."""
    room = room_for(spec, cards, freed_gib=freed_gib)
    precision = chosen_precision(spec, shape, room)
    forecast = forecast_server(shape, load_of(spec, precision, room), room.budget_gib)
    return ServePlan(room, precision, forecast)


def load_of(spec: ServeSpec, precision: ServePrecision, room: ServeRoom) -> ServeLoad:
    """What a spec asks for, at one precision."""
    named = {a for a in (spec.adapter, *spec.adapters) if a}
    return ServeLoad(
        precision=precision,
        device="cuda" if room.on_card else "cpu",
        context_tokens=spec.max_context_tokens,
        batch=spec.max_batch_size,
        prefill_tokens=spec.prefill_tokens,
        adapter_bytes=sum(adapter_bytes(Path(a)) for a in named),
        cuda_graphs=spec.cuda_graphs,
    )


def chosen_precision(spec: ServeSpec, shape: ModelShape, room: ServeRoom) -> ServePrecision:
    """What "auto" means here: 16 bits where they leave room for a cache, else 4; fp32 on a CPU."""
    if spec.precision != "auto":
        return spec.precision
    if not room.on_card:
        return "fp32"
    wide: ServePrecision = "bf16" if (room.compute_capability or (8, 0)) >= (8, 0) else "fp16"
    fixed = forecast_server(shape, load_of(spec, wide, room), room.budget_gib).fixed_gib
    return wide if fixed + _LEAST_CACHE_GIB <= room.budget_gib else "4bit"


def adapter_bytes(folder: Path) -> int:
    """Of the weights of one adapter; 0 when it cannot be read."""
    try:
        files = [p for p in folder.iterdir() if p.suffix == ".safetensors"][:_MAX_ADAPTER_FILES]
        return sum(p.stat().st_size for p in files)
    except OSError:
        return 0


def _brings_its_own(spec: ServeSpec) -> bool:
    """Some engines do not use the torch that is installed here."""
    return spec.engine in ("vllm", "llama_cpp")


def _first_visible() -> int:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    return int(first) if first.isdigit() else 0


def _computer(spec: ServeSpec, freed_gib: float) -> ServeRoom:
    memory = psutil.virtual_memory()
    limit = memory_limit_bytes()
    total, free = memory.total, memory.available
    if limit is not None and limit < total:
        total, free = limit, min(free, limit)
    used = max(0.0, (total - free) / GIB - freed_gib)
    budget = max(0.0, total / GIB * spec.memory_share - used)
    return ServeRoom("cpu", total / GIB, used, budget)

"""The memory that a server would need, against what its card or computer has free now."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from core.catalog.gguf_header import DamagedGguf, read_gguf_header
from core.config.serve import ServeSpec
from core.hardware import GpuSample
from core.hardware.machine import memory_limit_bytes
from core.planning.gguf_shape import shape_of_gguf
from core.planning.serve_memory import (
    ServeForecast,
    ServeLoad,
    ServePrecision,
    forecast_server,
)
from core.planning.shapes import ModelShape, shape_of
from core.services.memory import torch_has_cuda
from core.serving import Circumstances, choose

GIB = 1024**3
_MAX_ADAPTER_FILES = 64
_MAX_CONFIG_BYTES = 4 * 1024 * 1024
_WEIGHTS_BESIDE_GIB = 1.5
"""Driver, workspaces and one pass, where only the count of parameters is known."""


@dataclass(frozen=True)
class ServeSource:
    """What a model's folder or GGUF file says before anything heavy is loaded."""

    shape: ModelShape | None = None
    """None where the family is not known."""
    gguf: bool = False
    quantized: bool = False
    """The weights in the folder are in few bits already (FP8, AWQ, bitsandbytes, ...)."""
    file_bytes: int = 0
    """Of the weights on the disk."""


def source_of(path: Path) -> ServeSource:
    """Read headers alone.

    Args:
        path: the folder, or the GGUF file; one that cannot be read says nothing.
    """
    if path.suffix.lower() == ".gguf":
        return _gguf_source(path)
    config = read_config(path)
    return ServeSource(shape_of(config), False, "quantization_config" in config, _weights(path))


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
    can_quantize: bool = True
    """It could also be loaded in 8 or 4 bits: bitsandbytes is here, the files are not quantized."""


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
    spec: ServeSpec,
    shape: ModelShape,
    cards: list[GpuSample],
    *,
    freed_gib: float = 0.0,
    source: ServeSource | None = None,
) -> ServePlan:
    """What a server will take, with precision and context as it will choose them itself."""
    room = room_for(spec, cards, freed_gib=freed_gib)
    source = source or ServeSource(shape)
    precision = chosen_precision(spec, shape, room, source)
    load = load_of(spec, precision, room)
    if _stays_as_it_lies(spec, source):
        load = replace(load, file_bytes=source.file_bytes)
    forecast = forecast_server(shape, load, room.budget_gib)
    smaller = can_quantize() and not source.gguf and not source.quantized
    return ServePlan(room, precision, forecast, smaller)


def circumstances(
    spec: ServeSpec,
    source: ServeSource,
    room: ServeRoom,
    *,
    parameters: int | None = None,
    native_refusal: str = "",
) -> Circumstances:
    """What `core.serving.choose` asks for; worker and forecast decide by the same facts.

    Args:
        spec: what is asked for.
        source: what the model's files say.
        room: where it would live.
        parameters: of the model, where its shape is not known.
        native_refusal: why the native engine does not run it, if somebody looked.
    """
    need, need_small = _need_gib(spec, source, room, "bf16"), _need_gib(spec, source, room, "4bit")
    if need is None and parameters is not None:
        need = parameters * 2 / GIB + _WEIGHTS_BESIDE_GIB
    return Circumstances(
        gguf=source.gguf,
        native_refusal=native_refusal,
        on_card=room.on_card or spec.device.startswith("cuda"),
        capability=room.compute_capability,
        need_16bit_gib=need if room.on_card else None,
        need_4bit_gib=need_small if room.on_card else None,
        budget_gib=room.budget_gib if room.on_card else None,
        quantized_file=source.quantized,
        can_quantize=can_quantize(),
    )


def _need_gib(
    spec: ServeSpec, source: ServeSource, room: ServeRoom, precision: ServePrecision
) -> float | None:
    """All but the cache."""
    if source.shape is None:
        return None
    return forecast_server(source.shape, load_of(spec, precision, room), 0.0).fixed_gib


def can_quantize() -> bool:
    """Bitsandbytes is installed: without it nothing is loaded in 8 or 4 bits."""
    return find_spec("bitsandbytes") is not None


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


def chosen_precision(
    spec: ServeSpec, shape: ModelShape, room: ServeRoom, source: ServeSource | None = None
) -> ServePrecision:
    """What "auto" means here, as the worker will decide; where the engine chooses, 16 bits."""
    found = choose(spec, circumstances(spec, source or ServeSource(shape), room)).precision
    if found != "auto":
        return found
    if not room.on_card:
        return "fp32"
    return "bf16" if (room.compute_capability or (8, 0)) >= (8, 0) else "fp16"


def adapter_bytes(folder: Path) -> int:
    """Of the weights of one adapter; 0 when it cannot be read."""
    try:
        files = [p for p in folder.iterdir() if p.suffix == ".safetensors"][:_MAX_ADAPTER_FILES]
        return sum(p.stat().st_size for p in files)
    except OSError:
        return 0


def _stays_as_it_lies(spec: ServeSpec, source: ServeSource) -> bool:
    """The engine computes with the file's own bits; the others widen what is in a GGUF file."""
    if source.gguf:
        return spec.engine == "llama_cpp" or (spec.engine == "auto" and bool(spec.llama_server))
    return source.quantized


def _gguf_source(path: Path) -> ServeSource:
    try:
        stat = path.stat()
        return _read_gguf(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, DamagedGguf):
        return ServeSource(gguf=True)


@lru_cache(maxsize=8)
def _read_gguf(path: Path, size: int, _changed_ns: int) -> ServeSource:
    """A header holds the whole vocabulary: it is read once, not at every key in the form."""
    header = read_gguf_header(path)
    shape = shape_of_gguf(header.metadata, {t.name for t in header.tensors})
    return ServeSource(shape, gguf=True, file_bytes=size)


def _weights(folder: Path) -> int:
    try:
        return sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    except OSError:
        return 0


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder; empty where there is none."""
    try:
        file = folder / "config.json"
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            return {}
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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

"""Looks at folder, card and installation, and lets `core.serving.choice` decide. No torch."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.catalog.model_info import ModelInfo
from core.config.serve import ServeSpec
from core.hardware.gpu import GpuSample
from core.planning.serve_memory import forecast_server
from core.planning.shapes import ModelShape, shape_of
from core.services.serve_forecast import ServeRoom, load_of, room_for
from core.serving import Choice, Circumstances, choose
from workers.serve.engines.sources import gguf_file_of
from workers.serve.native.models import why_not

_BESIDE_WEIGHTS_GIB = 1.5
"""Driver, workspaces and one pass, where only the count of parameters is known."""
_MAX_CONFIG_BYTES = 4 * 1024 * 1024


def choice_for(spec: ServeSpec, model: ModelInfo, cards: list[GpuSample]) -> Choice:
    """Engine and precision for a server.

    Args:
        spec: what is asked for.
        model: as `inspect_model` found it.
        cards: what NVML says now; without cards the processor serves.
    """
    return choose(spec, circumstances(spec, model, cards))


def circumstances(spec: ServeSpec, model: ModelInfo, cards: list[GpuSample]) -> Circumstances:
    """What can be known before anything heavy is loaded."""
    path = Path(spec.model)
    config = _config(path)
    room = room_for(spec, cards)
    shape = shape_of(config)
    return Circumstances(
        gguf=gguf_file_of(path) is not None,
        native_refusal=why_not(config or {"model_type": model.model_type}),
        on_card=room.on_card or (spec.device.startswith("cuda")),
        capability=room.compute_capability,
        need_16bit_gib=_need_gib(spec, shape, model, room) if room.on_card else None,
        need_4bit_gib=_need_4bit_gib(spec, shape, room) if room.on_card else None,
        budget_gib=room.budget_gib if room.on_card else None,
        quantized_file="quantization_config" in config,
        can_quantize=find_spec("bitsandbytes") is not None,
    )


def _need_gib(
    spec: ServeSpec, shape: ModelShape | None, model: ModelInfo, room: ServeRoom
) -> float | None:
    """In 16 bits: by the shape where the family is known, else by the count of parameters."""
    if shape is not None:
        return forecast_server(shape, load_of(spec, "bf16", room), 0.0).fixed_gib
    if model.parameters is None:
        return None
    return model.parameters * 2 / 1024**3 + _BESIDE_WEIGHTS_GIB


def _need_4bit_gib(spec: ServeSpec, shape: ModelShape | None, room: ServeRoom) -> float | None:
    if shape is None:
        return None
    return forecast_server(shape, load_of(spec, "4bit", room), 0.0).fixed_gib


def _config(path: Path) -> dict[str, Any]:
    """`config.json` of a folder; empty where there is none."""
    try:
        file = path / "config.json"
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            return {}
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""Looks at folder, card and installation, and lets `core.serving.choice` decide. No torch."""

from __future__ import annotations

from pathlib import Path

from core.catalog.model_info import ModelInfo
from core.config.serve import ServeSpec
from core.hardware.gpu import GpuSample
from core.services import serve_forecast
from core.services.serve_forecast import read_config, room_for, source_of
from core.serving import Choice, Circumstances, choose
from workers.serve.engines.sources import gguf_file_of
from workers.serve.native.models import why_not


def choice_for(spec: ServeSpec, model: ModelInfo, cards: list[GpuSample]) -> Choice:
    """Engine and precision for a server.

    Args:
        spec: what is asked for.
        model: as `inspect_model` found it.
        cards: what NVML says now; without cards the processor serves.
    """
    return choose(spec, circumstances(spec, model, cards))


def circumstances(spec: ServeSpec, model: ModelInfo, cards: list[GpuSample]) -> Circumstances:
    """What is known before anything heavy is loaded, by the same facts as the forecast."""
    path = Path(spec.model)
    return serve_forecast.circumstances(
        spec,
        source_of(gguf_file_of(path) or path),
        room_for(spec, cards),
        parameters=model.parameters,
        native_refusal=why_not(read_config(path) or {"model_type": model.model_type}),
    )

"""The planner's forecast, of a run whose model and data are known to the tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from core.config.train import TrainSpec
from core.paths import Home
from core.planning import MemoryForecast, ModelShape, Situation, estimate, shape_of
from core.planning.activations import Kernels
from core.planning.calibration import Calibration, method_of
from workers.train.device import Place
from workers.train.heaviest import Heaviest


@dataclass(frozen=True)
class Outlook:
    """What a run will need, and of what that was worked out."""

    shape: ModelShape | None
    spec: TrainSpec
    situation: Situation

    @property
    def forecast(self) -> MemoryForecast | None:
        """None for models whose sizes are not known."""
        return estimate(self.shape, self.spec, self.situation) if self.shape else None

    @property
    def parts_gib(self) -> dict[str, float]:
        """By part, as events carry it."""
        found = self.forecast
        return {k: round(v, 4) for k, v in found.parts_gib.items()} if found else {}


def outlook(model: Any, spec: TrainSpec, place: Place, heaviest: Heaviest) -> Outlook:
    """The outlook of a run on its heaviest micro-batch.

    Args:
        model: what is trained, with or without adapters; its `config` tells the sizes.
        spec: of the run.
        place: of this process.
        heaviest: from `find_heaviest`.
    """
    places = max(1, heaviest.places)
    kept = heaviest.batch.targets.numel()
    situation = Situation(
        tokens_longest=math.ceil(places / max(1, heaviest.rows)),
        device="cuda" if place.device == "cuda" else "cpu",
        dtype=place.dtype,
        rows=heaviest.rows,
        flat=heaviest.batch.segments is not None,
        target_share=min(1.0, kept / places),
        kernels=_kernels(model, spec),
    )
    correction = calibration().correction(card_name(place), method_of(spec))
    return Outlook(shape_of_model(model), spec, situation.corrected(correction))


def first_guess(model_config: Any, spec: TrainSpec, place: Place) -> Outlook:
    """The outlook before the data are known: as many full rows as the spec allows."""
    situation = Situation(
        tokens_longest=spec.seq_len,
        flat=spec.packing,
        device="cuda" if place.device == "cuda" else "cpu",
        dtype=place.dtype,
    )
    shape = shape_of(model_config) if isinstance(model_config, dict) else None
    return Outlook(shape, spec, situation)


def shape_of_model(model: Any) -> ModelShape | None:
    """By the config that transformers made the model from."""
    config: Any = getattr(model, "config", None)
    return shape_of(config.to_dict()) if hasattr(config, "to_dict") else None


def calibration() -> Calibration:
    """Of this user's machine."""
    return Calibration(Home.default().memory_calibration)


def card_name(place: Place) -> str:
    """The card's name, or "cpu"."""
    return torch.cuda.get_device_name(0) if place.device == "cuda" else "cpu"


def _kernels(model: Any, spec: TrainSpec) -> Kernels:
    """Which forward pass the layers have: DeepDeck's own replaces the method on the layer."""
    layers = (m for m in model.modules() if type(m).__name__.endswith("DecoderLayer"))
    layer = next(layers, None)
    if layer is not None and type(layer.__dict__.get("forward")).__module__.startswith(
        "workers.train.fast"
    ):
        return "fast"
    return "liger" if spec.use_liger_kernel else "plain"

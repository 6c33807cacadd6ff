"""Which kernels a run's layers use: ours, Liger's, the compiler's, or what transformers wrote."""

from __future__ import annotations

from typing import Any

from core.config.train import TrainSpec
from core.protocol.events import Finding
from workers.train.device import Place
from workers.train.fast.entry import SpeedReport, accelerate
from workers.train.fast.layer import Recompute
from workers.train.fast.liger import apply_liger

NO_LIGER = {
    "no_card": "liger_needs_card",
    "not_installed": "liger_not_installed",
    "not_for_architecture": "liger_not_for_architecture",
}
NOT_COMPILED = "torch_compile_not_for_fast_layers"
NOT_FAST = {
    "architecture": "fast_kernels_not_for_architecture",
    "adapter": "fast_kernels_not_for_adapter",
    "weights": "fast_kernels_not_for_weights",
    "card": "fast_kernels_not_on_card",
}
_RECOMPUTE: dict[str, Recompute] = {"off": "none", "selective": "selective", "full": "full"}
_OTHERS_MOVE_WEIGHTS = ("tp", "zero3")
"""Strategies that put hooks on single linear layers, which the fast layers do not call."""


def patch_base(model: Any, spec: TrainSpec, place: Place) -> list[Finding]:
    """Before the adapter is on: Liger's kernels, if asked for. They help layers that ours leave."""
    if not spec.use_liger_kernel:
        return []
    why = "no_card" if place.device != "cuda" else apply_liger(model)
    facts = {"what": getattr(model.config, "model_type", "")}
    return [] if why is None else [Finding(code=NO_LIGER[why], params=facts)]


def speed_up(model: Any, spec: TrainSpec, place: Place) -> list[Finding]:
    """After adapter and checkpointing, before the model is wrapped or sharded.

    Returns:
        Notes about layers that stay slow although fast ones were wanted. On a machine without a
        card there is nothing to say: nobody expects speed there.
    """
    wanted = spec.fast_kernels and spec.parallel.strategy not in _OTHERS_MOVE_WEIGHTS
    report = SpeedReport()
    if wanted:
        report = accelerate(model, recompute=_RECOMPUTE[spec.gradient_checkpointing])
    notes = _left_out(report) if place.device == "cuda" else []
    return notes + (_compile(model, report) if spec.torch_compile else [])


def _left_out(report: SpeedReport) -> list[Finding]:
    return [
        Finding(code=NOT_FAST[part], params={"what": what, "layers": layers})
        for (part, what), layers in report.reasons.items()
    ]


def _compile(model: Any, report: SpeedReport) -> list[Finding]:
    for layer in model.modules():
        if type(layer).__name__.endswith("DecoderLayer") and "forward" not in layer.__dict__:
            layer.compile()
    if not report.switched_on:
        return []
    return [Finding(code=NOT_COMPILED, params={"layers": report.fast_layers})]

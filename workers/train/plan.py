"""What will be trained, said before the first step."""

from __future__ import annotations

from pathlib import Path

from core.config.train import TrainSpec
from core.planning.flops import flops_per_token, typical_tokens
from core.planning.shapes import shape_of_folder
from core.protocol.events import TrainPlanned
from workers.harness.context import WorkerContext
from workers.train.adapters import Trained, count_parameters
from workers.train.data import RunData
from workers.train.data_order import DataOrder, Extent
from workers.train.device import MemoryMeter, Place
from workers.train.quantization import quantization_of
from workers.train.schedule import Schedule
from workers.train.throughput import matmul_peak_flops


def say_plan(
    ctx: WorkerContext,
    spec: TrainSpec,
    place: Place,
    meter: MemoryMeter,
    trained: Trained,
    data: RunData,
    order: DataOrder,
    length: Extent,
    schedule: Schedule,
    memory_gib: dict[str, float],
) -> None:
    """Say `train.plan`; `memory_gib` is the forecast by part."""
    trainable, total = count_parameters(trained.model)
    ctx.reporter.emit(
        TrainPlanned(
            total_steps=length.total_steps,
            warmup_steps=schedule.warmup_steps,
            epochs=order.epoch_at(length.total_samples),
            train_samples=len(data.train),
            eval_samples=sum(len(rows) for rows in data.evals.values()),
            dropped_samples=data.train.dropped,
            trainable_parameters=trainable,
            total_parameters=total,
            target_modules=list(trained.targets),
            device=place.device,
            dtype=place.dtype,
            memory_source=meter.source,
            memory_limit_gib=meter.limit_gib,
            memory_parts_gib=memory_gib,
            method=spec.method,
            quantization=quantization_of(spec),
            world_size=spec.parallel.world_size,
            strategy=spec.parallel.strategy,
            notes=list(trained.notes),
            tokens_per_step=_tokens_per_step(data, order, length),
            flops_per_token=_flops_per_token(spec, data),
            matmul_peak_flops=matmul_peak_flops(place),
        )
    )


def _tokens_per_step(data: RunData, order: DataOrder, length: Extent) -> float:
    """Of the mean step, padding excluded."""
    return float(data.train.lengths.sum()) / order.rows_in(0) * length.window


def _flops_per_token(spec: TrainSpec, data: RunData) -> float | None:
    shape = shape_of_folder(Path(spec.model))
    if shape is None:
        return None
    return flops_per_token(shape, spec.method, typical_tokens(data.train.lengths.tolist()))

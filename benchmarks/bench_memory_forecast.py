"""Forecast against measured peak memory on one card: the worker's own step, real modeling code.

    python benchmarks/bench_memory_forecast.py [--json results.json] [--seconds 200]

DeepSeek-LLM-7B's shape with random weights, LoRA and QLoRA on all linear layers, 1,024, 4,096 and
16,384 tokens, with and without recomputation, plain and chunked loss, plain and fast layers.
"Allocated" is the peak of torch's allocator over two steps, the second with optimizer states. The
order is such that what is most telling comes first; `--seconds` ends it in time.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState

from benchmarks.train_models import ALL, deepseek_7b, quantize_, with_adapter
from core.config.train import TrainSpec
from core.planning import Situation, estimate, shape_of
from workers.train import attention
from workers.train.batches import make_window
from workers.train.device import Place
from workers.train.encoding import Encoded
from workers.train.memory_options import save_memory
from workers.train.objective import Objective
from workers.train.optimizers import make_optimizer
from workers.train.speed import speed_up
from workers.train.stepper import Stepper

GIB = 2**30
TOKENS = (1024, 4096, 16_384)


@dataclass(frozen=True)
class Point:
    kernels: str
    method: str
    checkpointing: str
    loss: str
    tokens: int
    allocated_gib: float
    reserved_gib: float
    forecast_allocated_gib: float
    forecast_gib: float
    step_s: float

    @property
    def error(self) -> float:
        """Of what is allocated; positive when the forecast is too high."""
        return self.forecast_allocated_gib / self.allocated_gib - 1

    @property
    def reserved_error(self) -> float:
        """Of what is reserved, against the forecast without the context."""
        return (self.forecast_gib - 0.55) / self.reserved_gib - 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=200.0)
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    points: list[Point] = []
    for spec in _specs():
        if time.monotonic() > deadline:
            print("out of time: the rest is left out", flush=True)
            break
        points += _measure_model(spec, deadline)
    print(table(points))
    if args.json:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        found = [asdict(p) | {"error": p.error} for p in points]
        args.json.write_text(json.dumps(about | {"points": found}))


def _specs() -> Iterator[TrainSpec]:
    for fast in (True, False):
        for nf4 in (False, True):
            for mode in ("off", "full"):
                yield TrainSpec.parse(
                    {
                        "model": "m",
                        "data": "d",
                        "lora": {"target_modules": list(ALL)},
                        "load_in_4bit": nf4,
                        "gradient_checkpointing": mode,
                        "fast_kernels": fast,
                        "per_device_train_batch_size": 1,
                        "gradient_accumulation_steps": 1,
                    }
                )


def _measure_model(spec: TrainSpec, deadline: float) -> list[Point]:
    """All points of one model: row lengths and losses change nothing in it."""
    place = Place("cuda", "bf16")
    torch.manual_seed(0)
    base = deepseek_7b()
    if spec.load_in_4bit:
        quantize_(base)
    attention.install(base)
    model = with_adapter(base, ALL)
    save_memory(base, spec, place)
    for note in speed_up(model, spec, place):
        print("note:", note, flush=True)
    accelerator = place.accelerator()
    optimizer = make_optimizer(model, spec, place)
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)
    points = []
    for chunked in (True, False):
        own = spec.model_copy(update={"chunked_loss": chunked})
        objective = Objective(prepared, forward_of=base, chunked=chunked)
        stepper = Stepper(accelerator, prepared, prepared_optimizer, objective, 1.0)
        for tokens in TOKENS:
            if time.monotonic() < deadline:
                points += _measure(stepper, own, tokens)
    del model, base, prepared, optimizer, prepared_optimizer, stepper, objective, accelerator
    AcceleratorState._reset_state(reset_partial_state=True)
    gc.collect()
    torch.cuda.empty_cache()
    return points


def _measure(stepper: Stepper, spec: TrainSpec, tokens: int) -> list[Point]:
    gc.collect()
    torch.cuda.empty_cache()
    ids = np.random.default_rng(0).integers(0, 100_000, tokens).astype("int32")
    window = make_window([Encoded(ids, np.ones(tokens, np.bool_))], 1, 0)
    torch.cuda.reset_peak_memory_stats()
    seconds = 0.0
    try:
        for _ in range(2):
            begun = time.monotonic()
            stepper.step(window, 1e-5)
            torch.cuda.synchronize()
            seconds = time.monotonic() - begun
    except torch.OutOfMemoryError as e:
        print(f"{_name(spec)} {tokens}: {str(e)[:120]}", flush=True)
        return []
    shape = shape_of(_CONFIG)
    assert shape is not None
    forecast = estimate(shape, spec, Situation(tokens))
    point = Point(
        kernels="fast" if spec.fast_kernels else "plain",
        method="QLoRA" if spec.load_in_4bit else "LoRA",
        checkpointing=spec.gradient_checkpointing,
        loss="chunked" if spec.chunked_loss else "whole",
        tokens=tokens,
        allocated_gib=torch.cuda.max_memory_allocated() / GIB,
        reserved_gib=torch.cuda.max_memory_reserved() / GIB,
        forecast_allocated_gib=forecast.allocated_gib,
        forecast_gib=forecast.total_gib,
        step_s=seconds,
    )
    print(_row(point), flush=True)
    return [point]


_CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 102_400,
}


def _name(spec: TrainSpec) -> str:
    return f"{spec.fast_kernels=} {spec.load_in_4bit=} {spec.gradient_checkpointing}"


def _row(p: Point) -> str:
    return (
        f"| {p.kernels} | {p.method} | {p.checkpointing} | {p.loss} | {p.tokens:,} | "
        f"{p.allocated_gib:.2f} | {p.forecast_allocated_gib:.2f} | {p.error:+.1%} | "
        f"{p.reserved_gib:.2f} | {p.reserved_error:+.1%} |"
    )


def table(points: list[Point]) -> str:
    """Markdown, for docs/benchmarks.md."""
    head = (
        "| layers | method | recomputed | loss | tokens | allocated GiB | forecast | error | "
        "reserved | error |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    if not points:
        return "nothing was measured"
    errors = sorted(abs(p.error) for p in points)
    inside = sum(e <= 0.05 for e in errors) / len(errors)
    said = f"{inside:.0%} of {len(points)} points within 5 %, largest {errors[-1]:.1%}, "
    return "\n".join([head, *map(_row, points), said + f"median {errors[len(errors) // 2]:.1%}"])


if __name__ == "__main__":
    main()

"""What telling costs the training loop, as a share of a step.

    .venv/bin/python benchmarks/bench_telemetry_cost.py [--device cuda] [--steps 60]

Trains the starter model on the bundled data with the real loop. Timed in each step: everything
but fetching and learning, that is memory counters, the event and its way to the file, detectors,
alarms, the guard's snapshots, the look for commands. Beside it, what the pulse thread
(heartbeat, commands, stall watch, resource samples) takes of one core. On a card it also counts
how often the host waits for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the supervisor starts workers
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from core.config.presets import train_preset
from core.config.train import TrainSpec
from core.paths import SAMPLE_DATASET, STARTER_MODEL
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from workers.harness import Control, Reporter, WorkerContext
from workers.harness.control import StopRequest
from workers.harness.pulse import SAMPLE_S, TICK_S, ResourceSampler, touch
from workers.train.device import MemoryMeter, choose_place

WARM_UP = 5


def make_context(folder: Path, spec: TrainSpec) -> WorkerContext:
    document = {"v": 1, "job": "train", "spec": spec.model_dump(mode="json")}
    run = RunDir.create(folder, "bench", document)
    reporter, stop = Reporter(EventWriter(run.events, run.run_id)), StopRequest()
    return WorkerContext(run, document, reporter, Control(run.control, reporter, stop), stop)


def time_steps(ctx: WorkerContext, spec: TrainSpec, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of learning and seconds of telling, step by step."""
    from workers.train.prepare import prepare
    from workers.train.trainer import Trainer

    place = choose_place(spec.device, spec.precision)
    parts = prepare(ctx, spec, place, MemoryMeter(place.device))
    ctx.team.begin()
    trainer = Trainer(ctx, parts)
    trainer._guard.begin()
    learning: list[float] = []
    telling: list[float] = []
    spent = [0.0]
    for place_of, name in ((trainer._feed, "next"), (parts.stepper, "step")):
        setattr(place_of, name, timed(getattr(place_of, name), spent))
    for _ in range(WARM_UP + steps):
        spent[0], begun = 0.0, time.perf_counter()
        trainer._step()
        trainer._between_steps()
        learning.append(spent[0])
        telling.append(time.perf_counter() - begun - spent[0])
    if place.device == "cuda":
        count_waits(trainer)
    return learning[WARM_UP:], telling[WARM_UP:]


def timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """The same call, its seconds added up."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            spent[0] += time.perf_counter() - begun

    return wrapped


def count_waits(trainer: object) -> None:
    import torch

    window = trainer._feed.next(trainer._state).window  # type: ignore[attr-defined]
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer._parts.stepper.step(window, 1e-4)  # type: ignore[attr-defined]
    torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in caught if "synchroniz" in str(w.message)]
    ours = sum("workers" in w.filename for w in waits)
    print(f"host waits for the card: {len(waits)} a step, {ours} in our code, "
          f"{len(window.batches)} forward passes")  # fmt: skip


def pulse_share(ctx: WorkerContext) -> float:
    """Share of one core that the pulse threads take."""
    sampler = ResourceSampler(ctx.reporter)
    beat = mean_s(lambda: (touch(ctx.run.heartbeat), ctx.control.refresh(), ctx.beat()))
    return beat / TICK_S + mean_s(sampler._sample) / SAMPLE_S


def mean_s(call: object, times: int = 200) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        call()  # type: ignore[operator]
    return (time.perf_counter() - begun) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    values = train_preset("starter-demo").values | {"steps": 100_000, "eval_steps": 0}
    values |= {"model": str(STARTER_MODEL), "data": str(SAMPLE_DATASET), "save_steps": 0}
    spec = TrainSpec.parse({**values, "device": arguments.device})
    with tempfile.TemporaryDirectory() as folder:
        ctx = make_context(Path(folder), spec)
        learning, telling = time_steps(ctx, spec, arguments.steps)
        pulse = pulse_share(ctx)
    # Means: a snapshot for the guard comes every so many steps, and is part of the cost.
    step_ms, told_ms = (statistics.mean(x) * 1000 for x in (learning, telling))
    print(f"step {step_ms:.2f} ms, telling {told_ms:.3f} ms: {told_ms / step_ms:.3%} of the step")
    print(f"pulse threads: {pulse:.3%} of one core")
    print(f"together: {told_ms / step_ms + pulse:.3%}")


if __name__ == "__main__":
    main()

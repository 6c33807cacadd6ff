"""From a worker's event to the folded state, and what one event costs the worker.

    .venv/bin/python benchmarks/bench_event_latency.py

Starts the real harness in a process of its own that says 25 steps a second, and ticks every
100 ms as the window does (and every 20 ms, to see what the pipeline itself takes). The event
carries the time at which it was said; the latency ends when `Supervisor.tick` returns the state
that has it. Drawing is measured in bench_plots.py.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.paths import Home
from core.protocol.events import TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from core.supervisor import Supervisor
from workers.harness import Reporter

WORKER = "tests.fakes.fake_worker"
STEPS, RATE = 150, 25


def step_event(step: int) -> TrainStep:
    return TrainStep(
        step=step, epoch=step / 977, loss=1 / 3, grad_norm=2 / 3, learning_rate=3e-5,
        tokens_per_second=1234.5, target_tokens=512, step_time_s=0.123, memory_gib=1.5,
        peak_memory_gib=1.75,
    )  # fmt: skip


def latencies_ms(home: Home, tick_s: float) -> list[float]:
    spec = {"steps": STEPS, "rate": RATE}
    run = RunDir.create(home.runs, f"latency-{tick_s}", {"v": 1, "job": "train", "spec": spec})
    supervisor = Supervisor(home)
    supervisor.start(run, WORKER)
    found: list[float] = []
    while not (view := supervisor.view(run.run_id)).finished or view.alive:
        for changed in supervisor.tick():
            now = time.time()
            steps = (e for e in changed.new_events if isinstance(e, TrainStep))
            found += [(now - e.time_utc) * 1000 for e in steps]
        time.sleep(tick_s)
    return found


def cost_of_emit_us(folder: Path, count: int = 20_000) -> tuple[float, float]:
    """CPU and wall microseconds of one `reporter.emit`."""
    with EventWriter(folder / "events.jsonl", "r") as writer:
        reporter = Reporter(writer)
        cpu, wall = time.process_time(), time.perf_counter()
        for step in range(count):
            reporter.emit(step_event(step))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu / count * 1e6, wall / count * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        for tick_s in (0.1, 0.02):
            found = sorted(latencies_ms(home, tick_s))
            p95 = found[int(0.95 * len(found))]
            print(f"event to folded state, tick every {tick_s * 1000:.0f} ms, "
                  f"{len(found)} steps: median {statistics.median(found):.0f} ms, "
                  f"p95 {p95:.0f} ms, worst {found[-1]:.0f} ms")  # fmt: skip
        cpu_us, wall_us = cost_of_emit_us(Path(folder))
        print(f"reporter.emit: {cpu_us:.1f} us of CPU, {wall_us:.1f} us of wall time; "
              f"{cpu_us / 1e6 / 0.1:.4%} of a step of 0.1 s")  # fmt: skip


if __name__ == "__main__":
    main()

"""Re-attach to a run of 100,000 steps: CPU time, longest tick, and the list of 200 runs.

    .venv/bin/python benchmarks/bench_follow.py [steps]

Writes a real event file (steps, resource samples, evaluations, checkpoints), then attaches as a
window does: ticks with the default budget until the view is caught up. CPU time of the process is
measured, not wall time, so that other load on the machine does not count. With a window around it:
bench_reattach.py.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.paths import Home
from core.protocol.events import (
    CheckpointSaved,
    EvalDone,
    ResourceSampled,
    RunFinished,
    RunStarted,
    TrainPlanned,
    TrainStep,
)
from core.runlog.index import RunIndex
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from core.supervisor import Supervisor

RUNS = 200
STEPS_OF_EACH = 500


def write_run(home: Home, name: str, steps: int) -> RunDir:
    run = RunDir.create(home.runs, name, {"v": 1, "job": "train", "name": name, "spec": {}})
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="train", pid=2**22 + 1))
        writer.write(TrainPlanned(total_steps=steps))
        for step in range(1, steps + 1):
            writer.write(
                TrainStep(
                    step=step,
                    epoch=step / 977,
                    loss=4 / (1 + step / 1000) + (step % 7) / 31,
                    grad_norm=1 + (step % 13) / 17,
                    learning_rate=3e-5 * (1 - step / steps / 2),
                    tokens_per_second=1234.5 + step % 97,
                    target_tokens=512,
                    step_time_s=0.1 + (step % 11) / 1000,
                    memory_gib=1.5,
                    peak_memory_gib=1.75,
                )
            )
            if step % 20 == 0:
                writer.write(ResourceSampled(rss_gib=1 + step / steps, cpu_percent=150.0))
            if step % 500 == 0:
                writer.write(EvalDone(step=step, split="accuracy", loss=2.0))
                writer.write(CheckpointSaved(step=step, path=f"checkpoints/step-{step:06d}"))
        writer.write(RunFinished())
    return run


def reattach(home: Home, run: RunDir) -> tuple[float, list[float]]:
    """CPU seconds in all, and of every tick."""
    supervisor = Supervisor(home)
    ticks = []
    begin = time.process_time()
    supervisor.attach(run.run_id)
    while supervisor.catching_up:
        before = time.process_time()
        supervisor.tick()
        ticks.append(time.process_time() - before)
    return time.process_time() - begin, ticks


def measure_reattach(home: Home, steps: int) -> None:
    run = write_run(home, "long", steps)
    size_mib = run.events.stat().st_size / 1024**2
    results = [reattach(home, run) for _ in range(5)]
    total_s = statistics.median(total for total, _ in results)
    longest_s = statistics.median(max(ticks) for _, ticks in results)
    ticks = len(results[0][1])
    print(f"re-attach to {steps:,} steps ({size_mib:.0f} MiB of events), median of 5:")
    print(f"  CPU {total_s:.2f} s in {ticks} ticks; longest tick {longest_s * 1000:.0f} ms of CPU")


def measure_list(home: Home) -> None:
    for n in range(RUNS):
        write_run(home, f"run-{n:03d}", STEPS_OF_EACH)
    index = RunIndex(home)
    times = []
    for _ in range(4):
        before = time.process_time()
        found = index.list()
        times.append(time.process_time() - before)
    print(f"list of {len(found)} runs: first {times[0] * 1000:.0f} ms of CPU, "
          f"again {statistics.median(times[1:]) * 1000:.1f} ms")  # fmt: skip


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        measure_reattach(home, steps)
        measure_list(home)


if __name__ == "__main__":
    main()

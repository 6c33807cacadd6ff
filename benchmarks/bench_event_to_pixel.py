"""Time from a worker's event to the painted point, with a real process and the real window.

    .venv/bin/python benchmarks/bench_event_to_pixel.py

A worker process appends one `train.step` at a time through the harness's own writer, at random
moments, so that they fall anywhere into the window's tick. The event's `time_utc` is stamped as
it is written; the other end is the moment when the paint event that shows it has returned. Both
are read from the clock of the same machine.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STEPS = 200
HISTORY = 20_000
SEED = 0


def worker(run_path: str) -> None:
    """The other process: history at once, then single steps at random moments."""
    from core.protocol.events import PhaseChanged, RunStarted, TrainPlanned, TrainStep
    from core.runlog.run_dir import RunDir
    from core.runlog.writer import EventWriter

    def step(i: int) -> TrainStep:
        return TrainStep(
            step=i, loss=1 + 1 / i, grad_norm=0.5, learning_rate=3e-5, epoch=i / 1000,
            step_time_s=0.3, memory_gib=2.0, tokens_per_second=1000.0,
        )  # fmt: skip

    run = RunDir(Path(run_path))
    rng = random.Random(SEED)
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="train", pid=os.getpid()))
        writer.write(TrainPlanned(total_steps=HISTORY * 2, train_samples=1000, epochs=1.0))
        writer.write(PhaseChanged(phase="training"))
        for i in range(1, HISTORY + 1):
            writer.write(step(i))
        time.sleep(6.0)  # the window reads the history
        for i in range(HISTORY + 1, HISTORY + STEPS + 1):
            run.heartbeat.touch()
            time.sleep(rng.uniform(0.12, 0.45))
            writer.write(step(i))
        time.sleep(1.0)


def main() -> None:
    from bench_plots import machine
    from PySide6.QtTest import QTest

    from app.bootstrap import compose, make_app, open_window
    from core import atomic_io
    from core.config.train import TrainSpec
    from core.paths import Home
    from core.runlog.run_dir import RunDir, new_run_id
    from core.services.documents import run_document
    from core.supervisor.identity import ProcessIdentity

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        document = run_document("train", TrainSpec(model="m", data="d"), name="latency")
        run = RunDir.create(home.runs, new_run_id("train", "latency"), document)
        child = subprocess.Popen([sys.executable, __file__, str(run.path)])
        time.sleep(0.5)
        identity = ProcessIdentity.of(child.pid)
        assert identity is not None
        atomic_io.write_json(run.process_json, identity.as_document())

        deck = compose(make_app([]), home)
        open_window(deck, "train")
        deck.window.navigate("train", run_id=run.run_id)
        page = deck.window.current_page
        delays = watch(page, child, QTest)
        deck.close()
        deck.window.close()
        child.wait()
    show(delays, machine())


def watch(page: object, child: subprocess.Popen[bytes], qtest: type) -> list[float]:
    """Milliseconds from each event to the end of the paint that shows it."""
    view = page.live.panel.plots["loss"].view  # type: ignore[attr-defined]
    series = page.model.series  # type: ignore[attr-defined]
    delays: list[float] = []
    seen = {"step": 0}
    paint = type(view).paintEvent

    def painted(self: object, event: object) -> None:
        paint(self, event)
        now = time.time()
        drawn = page.live.panel.plots["loss"].items[0].drawn.xs  # type: ignore[attr-defined]
        if self is not view or not len(drawn):
            return
        newest = int(drawn[-1])
        if newest > max(seen["step"], HISTORY):
            delays.append(1000 * (now - series.wall_time.ys[-1]))
        seen["step"] = max(seen["step"], newest)

    type(view).paintEvent = painted  # type: ignore[method-assign]
    try:
        while child.poll() is None:
            qtest.qWait(50)  # type: ignore[attr-defined]
    finally:
        type(view).paintEvent = paint  # type: ignore[method-assign]
    return delays


def show(delays: list[float], machine: str) -> None:
    ordered = sorted(delays)
    print("command: python benchmarks/bench_event_to_pixel.py")
    print(f"machine: {machine}")
    print(
        f"{len(ordered)} of {STEPS} single steps after a history of {HISTORY:,}, four plots shown"
    )
    print(f"  median {statistics.median(ordered):5.0f} ms")
    print(f"  p95    {ordered[int(0.95 * len(ordered))]:5.0f} ms")
    print(f"  worst  {ordered[-1]:5.0f} ms")


if __name__ == "__main__":
    worker(sys.argv[1]) if len(sys.argv) > 1 else main()

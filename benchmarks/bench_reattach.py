"""Time until a run of 100,000 steps, opened in the window, is read to its end and drawn.

.venv/bin/python benchmarks/bench_reattach.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from bench_plots import machine
from PySide6.QtCore import QTimer
from PySide6.QtTest import QTest

from app.bootstrap import compose, make_app, open_window
from core.config.train import TrainSpec
from core.paths import Home
from core.protocol.events import RunFinished, RunStarted, TrainPlanned, TrainStep
from core.runlog.run_dir import RunDir, new_run_id
from core.runlog.writer import EventWriter
from core.services.documents import run_document

STEPS = 100_000


def write(home: Home) -> RunDir:
    document = run_document("train", TrainSpec(model="m", data="d"), name="long")
    run = RunDir.create(home.runs, new_run_id("train", "long"), document)
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="train", pid=os.getpid()))
        writer.write(TrainPlanned(total_steps=STEPS, train_samples=1000, epochs=1.0))
        for i in range(1, STEPS + 1):
            writer.write(
                TrainStep(
                    step=i,
                    loss=1 + 1 / i,
                    grad_norm=0.5,
                    learning_rate=3e-5,
                    epoch=i / 1000,
                    step_time_s=0.3,
                    memory_gib=2.0,
                    tokens_per_second=1000.0,
                )
            )
        writer.write(RunFinished(outcome="completed", reason="completed"))
    return run


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        run = write(home)
        deck = compose(make_app([]), home)
        open_window(deck, "overview")
        QTest.qWait(1500)
        beats: list[float] = []
        pulse = QTimer()
        pulse.timeout.connect(lambda: beats.append(time.monotonic()))
        pulse.start(5)
        began, cpu = time.monotonic(), time.process_time()
        deck.window.navigate("train", run_id=run.run_id)
        page = deck.window.current_page
        while True:
            QTest.qWait(10)
            items = page.live.panel.plots["loss"].items  # type: ignore[union-attr]
            if items and len(items[0].drawn.xs) and items[0].drawn.xs[-1] == STEPS:
                break
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        gap = max(b - a for a, b in itertools.pairwise(beats))
        size = run.events.stat().st_size / 1e6
        print(f"command: python benchmarks/bench_reattach.py\nmachine: {machine()}")
        print(
            f"{STEPS:,} steps, {size:.0f} MB of events: drawn to the end after {took:.2f} s, "
            f"{cpu:.2f} s of CPU"
        )
        print(f"longest time in which the window could not react: {1000 * gap:.0f} ms")
        deck.close()
        deck.window.close()


if __name__ == "__main__":
    main()

"""Cost of the live plots, beside plain pyqtgraph on the same machine in the same run.

    .venv/bin/python benchmarks/bench_plots.py

1. Four plots of 100,000 points each, one point a plot every 100 ms: CPU time as percent of a core.
2. Panning a curve of 1,000,000 points: CPU ms a frame.

CPU time of the process is measured, not wall time, so that other load on the machine does not
count. The same number of frames is drawn by both sides.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pyqtgraph as pg
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QGridLayout, QWidget

from app.theme.manager import ThemeManager
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_marks import Limit, Marks
from app.widgets.plot_scheduler import PlotScheduler
from app.widgets.plot_x_axis import XAxis
from core.metrics import RunSeries
from core.protocol.events import TrainStep

POINTS = 100_000
PAN_POINTS = 1_000_000
SECONDS = 10.0
TICKS_A_SECOND = 10
PAN_FRAMES = 200
SIZE = (1100, 700)


def curve(count: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.1, count)
    return 0.8 + 1.6 * np.exp(-np.arange(count) / (count / 4)) + noise


def step(i: int, loss: float) -> TrainStep:
    return TrainStep(
        step=i, loss=loss, grad_norm=abs(loss) / 2, learning_rate=3e-5, memory_gib=17 + loss / 10,
        epoch=i / 1000, monotonic_s=i * 0.1, step_time_s=0.1,
    )  # fmt: skip


def grid(widgets: list[QWidget]) -> QWidget:
    window = QWidget()
    layout = QGridLayout(window)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, number // 2, number % 2)
    window.resize(*SIZE)
    window.show()
    QTest.qWait(500)
    return window


class Ours:
    """Four DeepDeck plots, smoothed, with marks and limits: as on the train page."""

    name = "DeepDeck, four plots, smoothed lines, marks, limits"

    def __init__(self, points: int) -> None:
        ys = curve(points)
        self.run = RunSeries()
        self.run.apply([step(i + 1, float(y)) for i, y in enumerate(ys)])
        self.next = points + 1
        self.axis, self.scheduler = XAxis(), PlotScheduler()
        self.axis.set_runs([self.run])
        run = self.run
        lines = [
            PlotLine(run.loss, run, "loss", "loss", smooth=True),
            PlotLine(run.grad_norm, run, "grad_norm", "norm", smooth=True),
            PlotLine(run.learning_rate, run, "learning_rate", "rate"),
            PlotLine(run.memory_gib, run, "memory", "memory"),
        ]
        self.plots = [self._plot(line) for line in lines]
        self.plots[1].set_limits([Limit(1.0, "clip 1.0")])
        self.window = grid(list(self.plots))

    def _plot(self, line: PlotLine) -> MetricPlot:
        plot = MetricPlot(self.axis, self.scheduler, line.name)
        plot.set_title(line.name)
        plot.set_lines([line], Marks(self.run))
        plot.set_smoothing(0.9)
        return plot

    def tick(self) -> None:
        self.run.apply([step(self.next, 0.8 + 0.1 * np.sin(self.next))])
        self.next += 1
        for plot in self.plots:
            plot.data_changed()


class Naive:
    """What a first version writes: PlotWidget, grid, auto-range, setData of everything."""

    name = "plain pyqtgraph, four plots, one raw line each, grid, auto-range"

    def __init__(self, points: int) -> None:
        self.ys = [list(curve(points, seed)) for seed in range(4)]
        self.plots = [pg.PlotWidget() for _ in range(4)]
        self.curves = [plot.plot(pen="w") for plot in self.plots]
        for plot in self.plots:
            plot.showGrid(x=True, y=True)
        self.window = grid(list(self.plots))

    def tick(self) -> None:
        for ys, line in zip(self.ys, self.curves, strict=True):
            ys.append(1.0)
            line.setData(np.asarray(ys))


class Raw(Naive):
    """The same, fed with ready numpy arrays: no list to convert."""

    name = "plain pyqtgraph, the same from numpy arrays"

    def __init__(self, points: int) -> None:
        super().__init__(points)
        self.arrays = [np.asarray(ys) for ys in self.ys]
        self.turn = 0

    def tick(self) -> None:
        self.turn += 1
        for ys, line in zip(self.arrays, self.curves, strict=True):
            line.setData(ys[: len(ys) - 1 - self.turn % 2])


def live(make: Callable[[int], Ours | Naive]) -> None:
    side = make(POINTS)
    side.tick()
    QTest.qWait(1000)
    cpu, wall, ticks = time.process_time(), time.monotonic(), 0
    while time.monotonic() - wall < SECONDS:
        side.tick()
        ticks += 1
        due = wall + ticks / TICKS_A_SECOND
        QTest.qWait(max(1, round((due - time.monotonic()) * 1000)))
    used, passed = time.process_time() - cpu, time.monotonic() - wall
    print(
        f"  {side.name}\n    {100 * used / passed:5.1f} % of one core, "
        f"{1000 * used / ticks:6.1f} ms CPU a tick, {ticks / passed:4.1f} ticks/s"
    )
    side.window.close()


def pan_ours() -> None:
    run = RunSeries()
    run.loss.extend(np.arange(1, PAN_POINTS + 1), curve(PAN_POINTS))
    run.epoch.extend(np.arange(1, PAN_POINTS + 1), np.arange(PAN_POINTS) / 1000)
    axis, scheduler = XAxis(), PlotScheduler()
    axis.set_runs([run])
    plot = MetricPlot(axis, scheduler, "loss")
    plot.set_lines([PlotLine(run.loss, run, "loss", "loss", smooth=True)])
    plot.set_smoothing(0.9)
    window = grid([plot])

    def show(low: float, high: float) -> None:
        axis.show_range(low, high)
        plot.draw()
        plot.view.viewport().repaint()

    report("DeepDeck, raw and smoothed line", show)
    window.close()


def pan_naive() -> None:
    plot = pg.PlotWidget()
    plot.plot(np.arange(PAN_POINTS), curve(PAN_POINTS), pen="w")
    plot.showGrid(x=True, y=True)
    window = grid([plot])

    def show(low: float, high: float) -> None:
        plot.setXRange(low, high, padding=0)
        plot.viewport().repaint()

    report("plain pyqtgraph, raw line", show, frames=20)
    window.close()


def report(name: str, show: Callable[[float, float], None], frames: int = PAN_FRAMES) -> None:
    print(f"  {name}")
    for share in (1.0, 0.1, 0.001):
        width = PAN_POINTS * share
        start = (PAN_POINTS - width) / 2
        show(start, start + width)
        cpu = time.process_time()
        for i in range(frames):
            shift = width * 0.0017 * (i + 1)
            show(start + shift, start + width + shift)
        used = 1000 * (time.process_time() - cpu) / frames
        print(f"    {share:6.1%} in view: {used:6.1f} ms CPU a frame")


def machine() -> str:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def main() -> None:
    app = QApplication.instance() or QApplication([])
    ThemeManager("dark").apply()
    print(f"command: python benchmarks/bench_plots.py\nmachine: {machine()}")
    print(f"platform: {app.platformName()}, pyqtgraph {pg.__version__}, window {SIZE}\n")
    print(f"Four plots of {POINTS:,} points, 10 updates a second:")
    for make in (Ours, Raw, Naive):
        live(make)
    print(f"\nPanning {PAN_POINTS:,} points:")
    pan_ours()
    pan_naive()


if __name__ == "__main__":
    main()

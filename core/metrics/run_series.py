"""All curves and marks of one run, folded from its events.

Curves are kept apart from `RunState`: a fold that copies 100,000 points on every step would be
slow, so these buffers grow in place and announce changes by `version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

import numpy as np

from core.metrics.eval_mean import mean_eval_loss
from core.metrics.series import Floats, Numbers, Series
from core.protocol.events import (
    AlarmRaised,
    CheckpointSaved,
    EvalDone,
    Event,
    RolledBack,
    RunStarted,
    TrainStep,
)

MAX_BRANCHES = 5
"""Left branches that are kept; of more only the marks."""


class Branch:
    """What a rollback left behind, from the point where both ways part."""

    def __init__(self, step: int, to_step: int, curves: Mapping[str, Series]) -> None:
        self.step = step
        """Where the run stood."""
        self.to_step = to_step
        """Where it went back to."""
        cut = {name: series.since(to_step) for name, series in curves.items()}
        self.loss = cut["loss"]
        self.grad_norm = cut["grad_norm"]
        self.learning_rate = cut["learning_rate"]
        self.memory_gib = cut["memory_gib"]
        self.peak_memory_gib = cut["peak_memory_gib"]
        self.tokens_per_second = cut["tokens_per_second"]
        self.step_time_s = cut["step_time_s"]
        self.epoch = cut["epoch"]
        self.wall_time = cut["time_utc"]
        self.elapsed_s = cut["elapsed_s"]
        self.mean_eval_loss = cut["mean_eval_loss"]


class RunSeries:
    """Curves over the optimizer step; `apply` is the only way in.

    A resume cuts every curve and mark back to the step it goes on from and leaves a mark in
    `resumes`; so does a worker that counts a step twice. A rollback cuts them too, and keeps what
    it left in `abandoned`.
    """

    def __init__(self) -> None:
        self.loss = Series()
        self.grad_norm = Series()
        self.learning_rate = Series()
        self.memory_gib = Series("GiB")
        self.peak_memory_gib = Series("GiB")
        self.reserved_gib = Series("GiB")
        """What the allocator holds of the card; empty without one."""
        self.tokens_per_second = Series("tokens/s")
        self.step_time_s = Series("s")
        self.epoch = Series()
        self.wall_time = Series("s")
        """Seconds since the epoch at the end of each step."""
        self.elapsed_s = Series("s")
        """Seconds of training: the night between a stop and a resume is not in it."""
        self.eval_loss: dict[str, Series] = {}
        """By split ("accuracy", "robustness", ...)."""
        self.mean_eval_loss = Series()
        """Over all splits of an evaluation, see `core.metrics.eval_mean`."""
        self._evaluated: dict[str, EvalDone] = {}
        self.alarms: dict[str, list[int]] = {}
        """Steps by alarm id."""
        self.checkpoints: list[int] = []
        self.resumes: list[int] = []
        """Steps after which the curve was cut and goes on."""
        self.rollbacks: list[tuple[int, int]] = []
        """Where the run stood, and the step it went back to."""
        self.abandoned: list[Branch] = []
        """Of the last rollbacks, oldest first, at most `MAX_BRANCHES`."""
        self.version = 0
        self._last_seq = 0
        self._clock: tuple[float, float] | None = None

    @property
    def last_step(self) -> int:
        """The newest optimizer step, 0 before the first."""
        return int(self.epoch.last[0]) if self.epoch.last else 0

    def apply(self, events: Iterable[Event]) -> None:
        """Take new events in. Events whose `seq` was seen before change nothing."""
        steps: list[TrainStep] = []
        for event in events:
            if event.seq and event.seq <= self._last_seq:
                continue
            self._last_seq = event.seq or self._last_seq
            if isinstance(event, TrainStep):
                steps.append(event)
                continue
            if isinstance(event, RunStarted | RolledBack):  # only their order to steps matters
                self._add_steps(steps)
                steps = []
            self._take(event)
        self._add_steps(steps)

    def _take(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._clock = None
                if event.resumed_from_step is not None:
                    self._resume(event.resumed_from_step)
            case RolledBack():
                self._roll_back(event)
            case EvalDone():
                self._add_eval(event)
            case AlarmRaised():
                self.alarms.setdefault(event.alarm, []).append(event.step)
            case CheckpointSaved():
                if event.step not in self.checkpoints:  # said again when it is the best
                    self.checkpoints = sorted((*self.checkpoints, event.step))
            case _:
                return
        self.version += 1

    def _add_eval(self, event: EvalDone) -> None:
        series = self.eval_loss.setdefault(event.split, Series())
        series.truncate_after(event.step - 1)  # evaluated again: the newer one counts
        series.append(event.step, event.loss)
        same = {k: e for k, e in self._evaluated.items() if e.step == event.step}
        self._evaluated = {**same, event.split: event}
        self.mean_eval_loss.truncate_after(event.step - 1)
        mean = mean_eval_loss(self._evaluated.values())
        self.mean_eval_loss.append(event.step, event.loss if mean is None else mean)

    def _resume(self, step: int) -> None:
        if self.last_step == 0 and step == 0:
            return
        self._cut_back(step)
        self.rollbacks = [r for r in self.rollbacks if r[1] <= step]
        self.abandoned = [b for b in self.abandoned if b.to_step <= step]
        self.resumes = [*(x for x in self.resumes if x < step), step]

    def _roll_back(self, event: RolledBack) -> None:
        curves = {**self._step_series(), "mean_eval_loss": self.mean_eval_loss}
        branch = Branch(event.step, event.to_step, curves)
        self.abandoned = [*self.abandoned, branch][-MAX_BRANCHES:]
        self._cut_back(event.to_step)
        self.resumes = [x for x in self.resumes if x <= event.to_step]
        self.rollbacks.append((event.step, event.to_step))

    def _cut_back(self, step: int) -> None:
        others = (*self.eval_loss.values(), self.mean_eval_loss, self.reserved_gib)
        for series in (*self._step_series().values(), *others):
            series.truncate_after(step)
        for name, xs in self.alarms.items():
            self.alarms[name] = [x for x in xs if x <= step]
        self.checkpoints = [x for x in self.checkpoints if x <= step]
        self._evaluated = {k: e for k, e in self._evaluated.items() if e.step <= step}

    def _step_series(self) -> dict[str, Series]:
        return {
            "loss": self.loss,
            "grad_norm": self.grad_norm,
            "learning_rate": self.learning_rate,
            "memory_gib": self.memory_gib,
            "peak_memory_gib": self.peak_memory_gib,
            "tokens_per_second": self.tokens_per_second,
            "step_time_s": self.step_time_s,
            "epoch": self.epoch,
            "time_utc": self.wall_time,
            "elapsed_s": self.elapsed_s,
        }

    def _add_steps(self, steps: list[TrainStep]) -> None:
        if not steps:
            return
        xs = np.fromiter((e.step for e in steps), np.int64, len(steps))
        falls = np.flatnonzero(xs[1:] <= xs[:-1]) + 1
        for low, high in zip([0, *falls], [*falls, len(steps)], strict=True):
            self._extend(steps[low:high], xs[low:high])
        self.version += 1

    def _extend(self, steps: list[TrainStep], xs: Numbers) -> None:
        if xs[0] <= self.last_step:
            self._resume(int(xs[0]) - 1)
        elapsed = self._elapsed(steps)
        for name, series in self._step_series().items():
            series.extend(xs, elapsed if series is self.elapsed_s else _column(steps, name))
        held = [(e.step, e.reserved_memory_gib) for e in steps if e.reserved_memory_gib]
        if held:
            self.reserved_gib.extend(*zip(*held, strict=True))

    def _elapsed(self, steps: list[TrainStep]) -> Floats:
        """The worker's monotonic clock, joined over restarts without the time between them."""
        clock = _column(steps, "monotonic_s")
        if self._clock is None:
            done = self.elapsed_s.last[1] if self.elapsed_s.last else 0.0
            first = steps[0].step_time_s
            self._clock = (float(clock[0]), done + (first if np.isfinite(first) else 0.0))
        start, offset = self._clock
        return offset + (clock - start)


def _column(steps: list[TrainStep], name: str) -> Floats:
    return np.fromiter(map(attrgetter(name), steps), np.float64, len(steps))

"""Alarms about the machine: a stall, creeping memory, falling throughput."""

from __future__ import annotations

import itertools

from core.divergence import codes
from core.divergence.kept import Kept
from core.divergence.numbers import raised
from core.divergence.settings import DetectorSettings
from core.divergence.window import Ema, RollingWindow
from core.protocol.events import AlarmCleared, AlarmRaised, TrainStep

_STEP_TIMES = 64


class Stall(Kept):
    """`stall`: no step ended for the longer of a limit and ten median steps; cleared by a step.

    Whether it holds now is of the process, not of the run: a checkpoint does not carry it.
    """

    KEPT = ("step_times_s",)

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.step_times_s = RollingWindow(_STEP_TIMES)
        self._stalled = False

    @property
    def limit_s(self) -> float:
        """Silence longer than this is a stall."""
        s = self._settings
        return max(s.stall_alarm_s, s.stall_median_steps * self.step_times_s.median())

    def observe(self, step: TrainStep) -> list[AlarmCleared]:
        """A step ended."""
        self.step_times_s.append(step.step_time_s)
        return self.over(step.step)

    def silence(self, seconds: float, last_step: int) -> list[AlarmRaised]:
        """Nothing for so long; says it once."""
        if self._stalled or seconds <= self.limit_s:
            return []
        self._stalled = True
        return [raised(codes.STALL, "warning", last_step, seconds, self.limit_s)]

    def over(self, last_step: int) -> list[AlarmCleared]:
        """It moves again, or rests on purpose."""
        was, self._stalled = self._stalled, False
        return [AlarmCleared(alarm=codes.STALL, step=last_step)] if was else []


class MemoryCreep(Kept):
    """`memory_creep`: what is in use between steps rises by over 2 % in 100 steps, and goes on so.

    Compared are the lowest values of windows of 50 steps: between steps no activations are held,
    so lengths of samples do not count, and neither does one late buffer.
    """

    KEPT = ("lowest", "steps", "floors")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.lowest: float | None = None
        self.steps = 0
        self.floors: list[float] = []

    def observe(self, step: TrainStep) -> list[AlarmRaised]:
        """Take one step; 0 GiB means that nobody measures."""
        if step.memory_gib <= 0:
            return []
        self.steps += 1
        self.lowest = step.memory_gib if self.lowest is None else min(self.lowest, step.memory_gib)
        if self.steps < self._settings.creep_window_steps:
            return []
        self.floors = [*self.floors[-self._settings.creep_windows :], self.lowest]
        self.steps, self.lowest = 0, None
        return self._judge(step)

    def restart(self) -> None:
        """After a resume or a rollback: memory begins anew."""
        self.lowest, self.steps, self.floors = None, 0, []

    def _judge(self, step: TrainStep) -> list[AlarmRaised]:
        s, floors = self._settings, self.floors
        if len(floors) <= s.creep_windows:
            return []
        least = 1 + s.creep_share * s.creep_window_steps / 100
        grows = all(
            b > a * least and b - a > s.creep_min_gib for a, b in itertools.pairwise(floors)
        )
        if not grows:
            return []
        first, last = floors[0], floors[-1]
        self.floors = [last]
        return [raised(codes.MEMORY_CREEP, "warning", step.step, last, first)]


class Throughput(Kept):
    """`throughput_drop`: the mean of tokens a second under 70 % of the median, for 50 steps."""

    KEPT = ("rates", "rate", "count", "active")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.rates = RollingWindow(settings.throughput_window)
        """Of ordinary steps."""
        self.rate = Ema()
        self.count = 0
        self.active = False

    def observe(self, step: TrainStep) -> list[AlarmRaised | AlarmCleared]:
        """Take one step; a rate of 0 means that nobody measures."""
        s = self._settings
        if step.tokens_per_second <= 0:
            return []
        self.rate.update(step.tokens_per_second, s.throughput_span_steps)
        limit = s.throughput_share * self.rates.median()
        slow = len(self.rates) >= s.throughput_steps and (self.rate.mean or 0.0) < limit
        self.count = self.count + 1 if slow else 0
        if not slow:
            self.rates.append(step.tokens_per_second)
            return self._over(step.step)
        if self.active or self.count < s.throughput_steps:
            return []
        self.active = True
        rate = self.rate.mean or 0.0
        return [raised(codes.THROUGHPUT_DROP, "warning", step.step, rate, self.rates.median())]

    def _over(self, step: int) -> list[AlarmRaised | AlarmCleared]:
        was, self.active = self.active, False
        return [AlarmCleared(alarm=codes.THROUGHPUT_DROP, step=step)] if was else []

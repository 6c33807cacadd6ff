"""All detectors of one run behind one door.

| alarm | severity | fires when (thresholds: `settings.py`) |
| --- | --- | --- |
| `non_finite` | error | loss or gradient norm is NaN or infinite |
| `non_finite_repeated` | error | 3 in a row or 5 in 100 (a loss scaler: 10 in a row) |
| `grad_norm_high` | warning | norm before clipping over `grad_norm_alarm` |
| `grad_norm_spike`, `loss_spike` | note | over mean + 6 sigma of the last 128 |
| `diverging` | error | the mean loss stays over its best level for 10 steps |
| `level_shift` | warning | the same with calm gradients |
| `not_learning` | warning | no fall 100 steps after the warm-up, or a loss at chance |
| `loss_zero_or_constant` | error | loss 0, or the same 5 times, or no gradient |
| `few_trained_tokens` | warning | under 8 target tokens or 0.5 % of all, 3 times |
| `overfit` | warning | evaluation up 3 times in a row, training down |
| `memory_creep` | warning | memory between steps grows over 2 % in 100 steps |
| `throughput_drop` | warning | tokens a second under 70 % of the median for 50 steps |
| `stall` | warning | no step ended for the longer of a limit and 10 median steps |
"""

from __future__ import annotations

import math
from typing import Any

from core.divergence.kept import Kept
from core.divergence.learning import Degenerate, NotLearning, OverFit
from core.divergence.level import LossLevel
from core.divergence.numbers import NonFinite, Spikes
from core.divergence.resources import MemoryCreep, Stall, Throughput
from core.divergence.settings import DetectorSettings
from core.divergence.sustained import SustainedRise
from core.divergence.throttle import Throttle
from core.protocol.events import AlarmCleared, AlarmRaised, EvalDone, TrainStep

Alarm = AlarmRaised | AlarmCleared


class Detectors(Kept):
    """Pure: the same steps give the same alarms, also when cut by `state` and `restore`.

    Not thread-safe by itself: it is called under the caller's lock.
    """

    KEPT = (
        "level", "rise", "non_finite", "spikes", "not_learning", "degenerate", "over_fit", "stall",
        "memory", "throughput", "throttle", "last_step",
    )  # fmt: skip

    def __init__(self, settings: DetectorSettings | None = None) -> None:
        s = settings or DetectorSettings()
        self.settings = s
        self.level = LossLevel(s)
        self.rise = SustainedRise(s)
        self.non_finite = NonFinite(s)
        self.spikes = Spikes(s)
        self.not_learning = NotLearning(s)
        self.degenerate = Degenerate(s)
        self.over_fit = OverFit(s)
        self.stall = Stall(s)
        self.memory = MemoryCreep(s)
        self.throughput = Throughput(s)
        self.throttle = Throttle()
        self.last_step = 0

    def observe(self, step: TrainStep) -> list[Alarm]:
        """Take one optimizer step and return what is to be said about it."""
        self.last_step = step.step
        moments = [*self.non_finite.observe(step), *self.spikes.observe(step)]
        return [
            *self.stall.observe(step),
            *(a for a in moments if self._is_news(a)),
            *self._of_the_level(step),
            *self.degenerate.observe(step),
            *self.memory.observe(step),
            *self.throughput.observe(step),
        ]

    def observe_eval(self, done: EvalDone) -> list[Alarm]:
        """Take one pass over an evaluation split."""
        return list(self.over_fit.observe(done, self.level))

    def silence(self, seconds_since_step: float) -> list[Alarm]:
        """Called now and then while a step is under way; says `stall` once."""
        return list(self.stall.silence(seconds_since_step, self.last_step))

    def excuse(self) -> list[Alarm]:
        """The loop is not stepping on purpose (pause, evaluation): a stall is over."""
        return list(self.stall.over(self.last_step))

    def outlier(self, loss: float, grad_norm: float) -> bool:
        """Whether this update should be left out; asked before it is made, changes nothing."""
        return self.spikes.outlier(loss, grad_norm)

    def after_rollback(self, step: int) -> None:
        """The run is back at `step`: best level and noise stay, what was counted is forgotten.

        Also right after `restore` of the snapshot's own state.
        """
        self.last_step = step
        self.level.restart()
        self.rise.clear()
        self.non_finite.clear()
        self.over_fit.after_rollback(step)
        self.memory.restart()
        self.throttle = Throttle()

    @property
    def suspicious(self) -> bool:
        """Trouble is being counted or holds: no snapshot of this moment is a healthy one."""
        return self.first_suspect_step is not None

    @property
    def first_suspect_step(self) -> int | None:
        """Where the trouble of now began; None when there is none."""
        starts = (self.rise.since, self.non_finite.since)
        return min((s for s in starts if s is not None), default=None)

    @property
    def stall_limit_s(self) -> float:
        """Silence longer than this is a stall."""
        return self.stall.limit_s

    def restore(self, state: dict[str, Any]) -> None:
        """Back to what `state` returned, so that a resumed run alarms as the unbroken one."""
        super().restore(state)

    def _of_the_level(self, step: TrainStep) -> list[Alarm]:
        if not math.isfinite(step.loss):
            return []
        self.level.update(step)
        return [
            *self.rise.observe(step, self.level),
            *self.not_learning.observe(step, self.level),
        ]

    def _is_news(self, alarm: Alarm) -> bool:
        return isinstance(alarm, AlarmCleared) or self.throttle.lets_through(
            alarm.alarm, alarm.step
        )

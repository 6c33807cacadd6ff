"""Detectors over the stream of optimizer steps: what raises the first alarms.

| alarm | severity | fires when |
| --- | --- | --- |
| `non_finite` | error | loss or gradient norm is NaN or infinite |
| `grad_norm_high` | warning | norm before clipping is over `grad_norm_alarm` (1e3 by default) |
| `loss_spike` | note | loss > mean + 6 sigma of the last 128 losses, from 32 on |
| `stall` | warning | no step ended for max(`stall_alarm_s`, 10 median steps); cleared by a step |

The spike rule is OLMo-core's stability monitor (https://github.com/allenai/OLMo-core,
`callbacks/stability_monitor.py`: 6 standard deviations over 128 steps), started earlier because
fine-tuning runs are short. A spike is a mark on the plot, not a verdict: harmless bursts of odd
data cause one too. With fewer values, or a loss that hardly moves, sigma is too small to mean
anything; so sigma counts as at least 1 % of the mean.
"""

from __future__ import annotations

import math
from typing import Any

from core.divergence.throttle import Throttle
from core.divergence.window import RollingWindow
from core.protocol.events import AlarmCleared, AlarmRaised, Severity, TrainStep

NON_FINITE = "non_finite"
GRAD_NORM_HIGH = "grad_norm_high"
LOSS_SPIKE = "loss_spike"
STALL = "stall"
SAVE_FAILED = "save_failed"
"""Raised by the worker when a checkpoint could not be written; training goes on."""
CHECKPOINT_DAMAGED = "checkpoint_damaged"
"""Raised by the worker when a resume passed over a damaged checkpoint."""

SPIKE_WINDOW = 128
SPIKE_MIN_VALUES = 32
SPIKE_SIGMAS = 6.0
SPIKE_MIN_RELATIVE_SIGMA = 0.01
STALL_MEDIAN_STEPS = 10.0
SCALED_SKIPS_IN_A_ROW = 10
_STEP_TIMES = 64

Alarm = AlarmRaised | AlarmCleared


class Detectors:
    """All detectors of one run. Pure: the same steps give the same alarms.

    Not thread-safe by itself: `observe` and `silence` are called under the caller's lock.

    Args:
        grad_norm_alarm: threshold of `grad_norm_high`.
        stall_alarm_s: least silence that counts as a stall.
        scaled_gradients: fp16 with a loss scaler. There an infinite norm with a finite loss is how
            the scaler finds its scale, and only the tenth in a row is an alarm.
    """

    def __init__(
        self,
        *,
        grad_norm_alarm: float = 1e3,
        stall_alarm_s: float = 60.0,
        scaled_gradients: bool = False,
    ) -> None:
        self._grad_norm_alarm = grad_norm_alarm
        self._stall_alarm_s = stall_alarm_s
        self._scaled = scaled_gradients
        self._losses = RollingWindow(SPIKE_WINDOW)
        self._step_times_s = RollingWindow(_STEP_TIMES)
        self._throttle = Throttle()
        self._skips_in_a_row = 0
        self._last_step = 0
        self._stalled = False

    def observe(self, step: TrainStep) -> list[Alarm]:
        """Take one optimizer step and return what is to be said about it."""
        alarms: list[Alarm] = []
        if self._stalled:
            self._stalled = False
            alarms.append(AlarmCleared(alarm=STALL, step=step.step))
        self._last_step = step.step
        self._step_times_s.append(step.step_time_s)
        found = (self._non_finite(step), self._grad_norm_high(step), self._loss_spike(step))
        alarms += [
            alarm
            for alarm in found
            if alarm and self._throttle.lets_through(alarm.alarm, step.step)
        ]
        return alarms

    def silence(self, seconds_since_step: float) -> list[Alarm]:
        """Called now and then while a step is under way; says `stall` once."""
        limit = self.stall_limit_s
        if self._stalled or seconds_since_step <= limit:
            return []
        self._stalled = True
        return [self._alarm(STALL, "warning", self._last_step, seconds_since_step, limit)]

    def excuse(self) -> list[Alarm]:
        """The loop is not stepping on purpose (pause, evaluation): a stall is over."""
        if not self._stalled:
            return []
        self._stalled = False
        return [AlarmCleared(alarm=STALL, step=self._last_step)]

    @property
    def stall_limit_s(self) -> float:
        """Silence longer than this is a stall."""
        return max(self._stall_alarm_s, STALL_MEDIAN_STEPS * self._step_times_s.median())

    def state(self) -> dict[str, Any]:
        """For a checkpoint: plain JSON."""
        return {
            "losses": self._losses.values,
            "step_times_s": self._step_times_s.values,
            "throttle": self._throttle.state(),
            "skips_in_a_row": self._skips_in_a_row,
            "last_step": self._last_step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Back to what `state` returned, so that a resumed run alarms as the unbroken one."""
        self._losses = RollingWindow(SPIKE_WINDOW, state["losses"])
        self._step_times_s = RollingWindow(_STEP_TIMES, state["step_times_s"])
        self._throttle.restore(state["throttle"])
        self._skips_in_a_row = int(state["skips_in_a_row"])
        self._last_step = int(state["last_step"])

    def _non_finite(self, step: TrainStep) -> AlarmRaised | None:
        loss_bad = not math.isfinite(step.loss)
        if not loss_bad and math.isfinite(step.grad_norm):
            self._skips_in_a_row = 0
            return None
        self._skips_in_a_row += 1
        if self._scaled and not loss_bad and self._skips_in_a_row < SCALED_SKIPS_IN_A_ROW:
            return None
        value, what = (step.loss, "loss") if loss_bad else (step.grad_norm, "grad_norm")
        return self._alarm(NON_FINITE, "error", step.step, value, 0.0, what)

    def _grad_norm_high(self, step: TrainStep) -> AlarmRaised | None:
        limit = self._grad_norm_alarm
        if not math.isfinite(step.grad_norm) or step.grad_norm <= limit:
            return None
        return self._alarm(GRAD_NORM_HIGH, "warning", step.step, step.grad_norm, limit)

    def _loss_spike(self, step: TrainStep) -> AlarmRaised | None:
        if not math.isfinite(step.loss):
            return None
        alarm = None
        if len(self._losses) >= SPIKE_MIN_VALUES:
            mean, sigma = self._losses.mean_and_deviation()
            limit = mean + SPIKE_SIGMAS * max(sigma, SPIKE_MIN_RELATIVE_SIGMA * abs(mean))
            if step.loss > limit:
                alarm = self._alarm(LOSS_SPIKE, "note", step.step, step.loss, limit)
        self._losses.append(step.loss)
        return alarm

    @staticmethod
    def _alarm(
        alarm: str, severity: Severity, step: int, value: float, threshold: float, detail: str = ""
    ) -> AlarmRaised:
        return AlarmRaised(
            alarm=alarm,
            severity=severity,
            step=step,
            value=value,
            threshold=threshold,
            detail=detail,
        )

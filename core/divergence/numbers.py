"""Alarms about single steps: numbers that are none, norms and losses that stand out.

Non-finite numbers: one is skipped and said. torchtitan ends the run, LLaMA-Factory skips; here
three in a row or five of a hundred say that skipping does not help. In fp16 an infinite norm with
a finite loss is how the loss scaler finds its scale (https://docs.pytorch.org/docs/stable/amp.html),
and only the tenth in a row means anything.

Spikes: OLMo-core's stability monitor (https://github.com/allenai/OLMo-core,
`callbacks/stability_monitor.py`: 6 standard deviations over 128 steps), started earlier because
fine-tuning runs are short. A spike is a mark on the plot, not a verdict: harmless bursts of odd
data cause one too. With fewer values, or a loss that hardly moves, sigma is too small to mean
anything; so it has a floor.
"""

from __future__ import annotations

import math

from core.divergence import codes
from core.divergence.kept import Kept
from core.divergence.settings import DetectorSettings
from core.divergence.window import RollingWindow
from core.protocol.events import AlarmCleared, AlarmRaised, Severity, TrainStep


def raised(
    alarm: str,
    severity: Severity,
    step: int,
    value: float = 0.0,
    threshold: float = 0.0,
    detail: str = "",
) -> AlarmRaised:
    """An alarm event."""
    return AlarmRaised(
        alarm=alarm, severity=severity, step=step, value=value, threshold=threshold, detail=detail
    )


class NonFinite(Kept):
    """`non_finite` for each such step, `non_finite_repeated` when they pile up."""

    KEPT = ("in_a_row", "row_since", "recent", "repeated")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.in_a_row = 0
        self.row_since: int | None = None
        """The first of them."""
        self.recent: list[int] = []
        """Steps of the last ones that count."""
        self.repeated = False

    @property
    def since(self) -> int | None:
        """Where the non-finite steps of now began; None when there are none."""
        piled_up_slowly = self.repeated and self.in_a_row < self._settings.non_finite_in_a_row
        return self.recent[0] if piled_up_slowly and self.recent else self.row_since

    def observe(self, step: TrainStep) -> list[AlarmRaised | AlarmCleared]:
        """What is to be said of this step, before any throttling."""
        window = self._settings.non_finite_window
        self.recent = [s for s in self.recent if s > step.step - window]
        loss_bad = not math.isfinite(step.loss)
        if not loss_bad and math.isfinite(step.grad_norm):
            self.in_a_row, self.row_since = 0, None
            return self._over(step)
        self.in_a_row += 1
        self.row_since = self.row_since or step.step
        seeks_scale = self._settings.scaled_gradients and not loss_bad
        if seeks_scale and self.in_a_row < self._settings.scaled_skips_in_a_row:
            return []
        self.recent.append(step.step)
        return [*self._said(step, loss_bad), *self._piled_up(step, seeks_scale)]

    def clear(self) -> None:
        """After a rollback: the numbers of the branch that was left do not count."""
        self.in_a_row, self.row_since, self.recent, self.repeated = 0, None, [], False

    def _said(self, step: TrainStep, loss_bad: bool) -> list[AlarmRaised | AlarmCleared]:
        value, what = (step.loss, "loss") if loss_bad else (step.grad_norm, "grad_norm")
        return [raised(codes.NON_FINITE, "error", step.step, value, 0.0, what)]

    def _piled_up(self, step: TrainStep, seeks_scale: bool) -> list[AlarmRaised | AlarmCleared]:
        s = self._settings
        many = self.in_a_row >= s.non_finite_in_a_row or len(self.recent) >= s.non_finite_in_window
        if self.repeated or not (many or seeks_scale):
            return []
        self.repeated = True
        count = max(self.in_a_row, len(self.recent))
        return [raised(codes.NON_FINITE_REPEATED, "error", step.step, count, s.non_finite_in_a_row)]

    def _over(self, step: TrainStep) -> list[AlarmRaised | AlarmCleared]:
        if not self.repeated or self.recent:
            return []
        self.repeated = False
        return [AlarmCleared(alarm=codes.NON_FINITE_REPEATED, step=step.step)]


class Spikes(Kept):
    """`grad_norm_high`, `grad_norm_spike`, `loss_spike`; tells an outlier before its update."""

    KEPT = ("losses", "log_norms")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.losses = RollingWindow(settings.spike_window)
        self.log_norms = RollingWindow(settings.spike_window)

    def observe(self, step: TrainStep) -> list[AlarmRaised]:
        """What stands out of this step."""
        alarms = [self._norm(step), self._loss(step)]
        if math.isfinite(step.loss):
            self.losses.append(step.loss)
        if math.isfinite(step.grad_norm) and step.grad_norm > 0:
            self.log_norms.append(math.log(step.grad_norm))
        return [a for a in alarms if a]

    def outlier(self, loss: float, grad_norm: float) -> bool:
        """Whether OLMo's skip-step would leave this update out (`optim/skip_step_optimizer.py`).

        Loss or norm over 6 sigma, and the norm also over ten times its median: with clipping,
        a burst of less does no harm.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)) or grad_norm <= 0:
            return False
        far = math.log(grad_norm) - self.log_norms.median()
        limits = (self._loss_limit(), self._norm_limit())
        over = loss > limits[0] or grad_norm > limits[1]
        return over and far > math.log(self._settings.outlier_norm_ratio)

    def _norm(self, step: TrainStep) -> AlarmRaised | None:
        norm, limit = step.grad_norm, self._settings.grad_norm_alarm
        if not math.isfinite(norm):
            return None
        if norm > limit:
            return raised(codes.GRAD_NORM_HIGH, "warning", step.step, norm, limit)
        if norm > self._norm_limit():
            return raised(codes.GRAD_NORM_SPIKE, "note", step.step, norm, self._norm_limit())
        return None

    def _loss(self, step: TrainStep) -> AlarmRaised | None:
        limit = self._loss_limit()
        if not math.isfinite(step.loss) or step.loss <= limit:
            return None
        return raised(codes.LOSS_SPIKE, "note", step.step, step.loss, limit)

    def _loss_limit(self) -> float:
        s = self._settings
        if len(self.losses) < s.spike_min_values:
            return math.inf
        mean, sigma = self.losses.mean_and_deviation()
        return mean + s.spike_sigmas * max(sigma, s.spike_min_relative_sigma * abs(mean))

    def _norm_limit(self) -> float:
        s = self._settings
        if len(self.log_norms) < s.spike_min_values:
            return math.inf
        mean, sigma = self.log_norms.mean_and_deviation()
        return math.exp(mean + s.spike_sigmas * max(sigma, s.spike_min_log_sigma))

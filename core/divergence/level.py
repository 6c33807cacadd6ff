"""The level of the loss: a fast mean, its noise, the best it was, and where it stood at first.

The mean of single losses, not the losses: one odd batch is no level. The noise is taken from
differences of neighboring losses, which a falling or rising level hardly touches, and winsorized,
so that a spike does not make the run deaf. With AR(1) noise of deviation s and correlation r,
var(x[t] - x[t-1]) = 2 s^2 (1 - r) and var(x[t] - x[t-2]) = 2 s^2 (1 - r^2), which gives both.
"""

from __future__ import annotations

import math

from core.divergence.kept import Kept
from core.divergence.settings import DetectorSettings
from core.divergence.window import Ema, RollingWindow
from core.protocol.events import TrainStep


class LossLevel(Kept):
    """Follows the finite losses of a run. Nats throughout."""

    KEPT = (
        "fast", "slow", "near", "far", "before", "tokens", "best", "first", "seen", "frozen",
        "noises",
    )  # fmt: skip

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.fast = Ema()
        self.slow = Ema()
        self.near = Ema()
        """Squared differences to the loss before."""
        self.far = Ema()
        """Squared differences to the one before that."""
        self.before: list[float] = []
        """The last two losses."""
        self.noises = RollingWindow(settings.noise_lag_steps)
        """Lately: what noise was thought to be before a rise began to look like noise."""
        self.tokens = Ema()
        self.best: float | None = None
        """Lowest slow mean of the steps that count."""
        self.first: float | None = None
        """The fast mean at `learning_from_step`."""
        self.seen = 0
        self.frozen = False
        """While the loss is suspected: noise is not taken from a run that leaves its way."""

    def update(self, step: TrainStep) -> None:
        """Take the loss of a step; it must be finite."""
        self.seen += 1
        self.tokens.update(step.target_tokens, self._settings.slow_span_steps)
        self._take_noise(step.loss)
        loss = min(step.loss, self._highest())
        self.fast.update(loss, self.span_steps)
        self.slow.update(loss, self._slow_span_steps)
        if self.first is None and self.seen >= self._settings.learning_from_step:
            self.first = self.fast.mean
        self._take_best(step.step)

    @property
    def mean(self) -> float:
        """The fast mean; 0 before the first loss."""
        return self.fast.mean or 0.0

    @property
    def mean_sigma(self) -> float:
        """Deviation of the fast mean."""
        return min(self.noises.values, default=0.0) * self.fast.noise_share

    @property
    def rise(self) -> float:
        """A rise over the best level that noise does not explain."""
        s = self._settings
        return max(s.rise_nats, s.rise_sigmas * self.mean_sigma)

    @property
    def span_steps(self) -> float:
        """Of the fast mean: at least `fast_span_tokens` target tokens, within bounds."""
        s = self._settings
        per_step = self.tokens.mean
        wanted = s.fast_span_tokens / per_step if per_step else s.fast_span_steps
        return min(max(wanted, s.fast_span_steps), s.fast_span_max_steps)

    @property
    def _slow_span_steps(self) -> float:
        s = self._settings
        return s.slow_span_steps * self.span_steps / s.fast_span_steps

    def restart(self) -> None:
        """After a rollback: the means begin anew, best and noise stay."""
        self.fast, self.slow, self.frozen, self.before = Ema(), Ema(), False, []

    def accept(self) -> None:
        """The level of now is the run's new level: data changed, and the user let it."""
        self.restart()
        self.best = None

    def _take_best(self, step: int) -> None:
        s, mean = self._settings, self.slow.mean
        counts = step > max(10, s.warmup_steps // 2) and self.slow.weight >= s.best_min_weight
        if counts and mean is not None:
            self.best = mean if self.best is None else min(self.best, mean)

    def _highest(self) -> float:
        """A spike counts as a loss of a few times the rise that is an alarm."""
        if self.best is None:
            return math.inf
        return self.best + self._settings.spike_counts_as_rises * self.rise

    def _take_noise(self, loss: float) -> None:
        before, self.before = self.before, [*self.before[-1:], loss]
        if self.frozen or len(before) < 2:
            return
        for mean, past in ((self.near, before[1]), (self.far, before[0])):
            square = (loss - past) ** 2
            if self.seen > self._settings.level_min_steps and mean.mean is not None:
                square = min(square, self._settings.winsor_sigmas**2 * mean.mean)
            mean.update(square, self._settings.noise_span_steps)
        self.noises.append(self._effective_sigma())

    def _effective_sigma(self) -> float:
        """Of single losses, made larger for noise that lingers: AR(1) has a smaller sample."""
        near, far = self.near.mean or 0.0, self.far.mean or 0.0
        rho = far / near - 1 if near > 0 else 0.0
        rho = min(max(rho, 0.0), self._settings.max_autocorrelation)
        return math.sqrt(near / 2 / (1 - rho) * (1 + rho) / (1 - rho))

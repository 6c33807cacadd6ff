"""Sustained divergence, and a change of level with calm gradients.

The loss is over its best level by more than its noise can explain, ten steps in a row. Measured on
96 small runs (docs/benchmarks.md), this finds nearly all divergences and leaves bursts alone,
where single-step rules (gradient norm over 1e3; 6 sigma) find few or fire on harmless ones. A loss
curve alone cannot tell a change of data from divergence; the gradients can to a degree, so with
calm gradients the alarm asks ("did the data change?") and does not act.
"""

from __future__ import annotations

import math

from core.divergence import codes
from core.divergence.kept import Kept
from core.divergence.level import LossLevel
from core.divergence.numbers import raised
from core.divergence.settings import DetectorSettings
from core.divergence.window import Ema, RollingWindow
from core.protocol.events import AlarmCleared, AlarmRaised, Severity, TrainStep

_NORMS = 128
_NEVER = -(10**9)


class SustainedRise(Kept):
    """`diverging` or `level_shift`; one of them at a time, cleared when the loss came back."""

    KEPT = (
        "count",
        "since",
        "active",
        "high_norm_step",
        "norms",
        "norm",
        "recent",
        "peak",
        "losses",
    )

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.count = 0
        """Steps in a row over the threshold."""
        self.since: int | None = None
        """The first of them."""
        self.active = ""
        """The alarm that holds."""
        self.high_norm_step = _NEVER
        self.norms = RollingWindow(_NORMS)
        """Of steps under the threshold."""
        self.losses = RollingWindow(settings.patience_steps)
        self.norm = Ema()
        self.recent = RollingWindow(settings.norm_lead_steps)
        """Mean norms of the last steps under the threshold."""
        self.peak = 0.0
        """Highest mean norm since then."""

    def observe(self, step: TrainStep, level: LossLevel) -> list[AlarmRaised | AlarmCleared]:
        """Call after `level` took the step's loss."""
        self._take_norm(step)
        self.losses.append(step.loss)
        limit = self._limit(step, level)
        level.frozen = limit is not None and level.mean > limit
        if limit is None or not level.frozen:
            return self._under(step)
        if self.since is None:
            self.since, self.peak = step.step, max(self.recent.values, default=0.0)
        self.peak = max(self.peak, self.norm.mean or 0.0)
        self.count += 1
        if self.active == codes.LEVEL_SHIFT and self.count > self._settings.accept_level_steps:
            level.accept()
            return self._under(step)
        # The mean remembers a burst of a few; then most single losses are under the limit again.
        heat = self.peak / max(self.norms.median(), 1e-12)
        if self.count < self._patience(step.step, heat) or self.losses.median() <= limit:
            return []
        return self._over(step, heat, level.mean, limit)

    def clear(self) -> None:
        """After a rollback."""
        self.count, self.since, self.active = 0, None, ""
        self.high_norm_step, self.norm = _NEVER, Ema()
        self.recent.clear()
        self.losses.clear()

    def _limit(self, step: TrainStep, level: LossLevel) -> float | None:
        s = self._settings
        if step.step <= max(s.level_min_steps, s.warmup_steps) or level.best is None:
            return None
        return level.best + level.rise

    def _under(self, step: TrainStep) -> list[AlarmRaised | AlarmCleared]:
        if math.isfinite(step.grad_norm):
            self.norms.append(step.grad_norm)
            self.recent.append(self.norm.mean or 0.0)
        self.count, self.since = 0, None
        was, self.active = self.active, ""
        return [AlarmCleared(alarm=was, step=step.step)] if was else []

    def _over(
        self, step: TrainStep, heat: float, mean: float, limit: float
    ) -> list[AlarmRaised | AlarmCleared]:
        now = codes.LEVEL_SHIFT if heat < self._settings.calm_norm_ratio else codes.DIVERGING
        if self.active in (now, codes.DIVERGING):
            return []
        before, self.active = self.active, now
        over = [AlarmCleared(alarm=before, step=step.step)] if before else []
        severity: Severity = "error" if now == codes.DIVERGING else "warning"
        return [*over, raised(now, severity, step.step, mean, limit, str(self.since))]

    def _take_norm(self, step: TrainStep) -> None:
        if not math.isfinite(step.grad_norm):
            return
        self.norm.update(step.grad_norm, self._settings.norm_span_steps)
        if step.grad_norm > self._settings.grad_norm_alarm:
            self.high_norm_step = step.step

    def _patience(self, step: int, heat: float) -> int:
        s = self._settings
        if step - self.high_norm_step <= s.patience_steps or heat > s.hot_norm_ratio:
            return s.short_patience_steps
        return s.calm_patience_steps if heat < s.calm_norm_ratio else s.patience_steps

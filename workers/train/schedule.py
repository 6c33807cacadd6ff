"""The learning rate of every step: a pure function, so that resume, plots and tests agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to the peak, then cosine or linear down to a share of it, or constant.

    The first step already learns (transformers' schedules begin at 0 and waste it), the last
    warm-up step has the peak, and the last step has exactly `min_ratio` of it.
    Cosine decay: https://arxiv.org/abs/1608.03983.
    """

    peak: float
    total_steps: int
    warmup_steps: int
    min_ratio: float
    shape: Literal["cosine", "linear", "constant"] = "cosine"

    def learning_rate(self, step: int) -> float:
        """The rate of optimizer step `step`, counted from 0."""
        return self.peak * self._share(step)

    def _share(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        peak_at = max(self.warmup_steps - 1, 0)
        way = (step - peak_at) / max(self.total_steps - 1 - peak_at, 1)
        return self.min_ratio + (1 - self.min_ratio) * self._left(min(way, 1.0))

    def _left(self, way: float) -> float:
        """What is left of the way down: 1 at the peak, 0 at the last step."""
        if self.shape == "constant":
            return 1.0
        if self.shape == "linear":
            return 1.0 - way
        return (1 + math.cos(math.pi * way)) / 2


def make_schedule(spec: TrainSpec, total_steps: int) -> Schedule:
    """The schedule of a run of `total_steps`.

    Raises:
        UsageError: `train.warmup_too_long` when a given warm-up would fill the whole run.
    """
    if spec.warmup_steps is None:
        warmup = min(math.ceil(spec.warmup_ratio * total_steps), total_steps - 1)
    else:
        warmup = spec.warmup_steps
        if warmup >= total_steps and warmup > 0:
            raise UsageError(
                ErrorCode.TRAIN_WARMUP_TOO_LONG, warmup_steps=warmup, total_steps=total_steps
            )
    return Schedule(
        spec.learning_rate, total_steps, warmup, spec.min_lr_ratio, spec.lr_scheduler_type
    )

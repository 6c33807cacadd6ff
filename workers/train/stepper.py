"""One optimizer step over the micro-batches of a window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workers.harness.team import Team
from workers.train.batches import Window
from workers.train.objective import Objective
from workers.train.parallel.sharing import own_share
from workers.train.parallel.strategies import Strategy

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class StepNumbers:
    """What a step was, on the host. The same in all processes of a run."""

    loss: float
    """Mean over the window's target tokens, in nats."""
    grad_norm: float
    """Before clipping."""
    skipped: bool
    """Loss or norm was not finite, or an outlier: the weights were left alone."""


class Stepper:
    """Forward, backward, clip, update.

    Between the first micro-batch and the end of the step the host waits for the card once: when
    loss and norm are copied together. Nothing else reads a tensor's value. (With fp16 the loss
    scaler reads its own overflow flag as well.)

    A window is the whole step's, in every process; each works on its own share of it. So the
    number of target tokens needs no message, and the finite check is of sums over all.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: Any,
        optimizer: Any,
        objective: Objective,
        max_grad_norm: float,
        *,
        team: Team | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self._accelerator = accelerator
        self._optimizer = optimizer
        self._objective = objective
        self._clip = max_grad_norm
        self._team = team or Team()
        self._strategy = strategy or Strategy.alone()
        self.gives_up: Callable[[], bool] = _never
        """Asked between micro-batches; true drops the window. For one process alone: several would
        have to agree, and that is a wait for every micro-batch."""
        self.is_outlier: Callable[[float, float], bool] = _never
        """Of loss and norm; such an update is left out."""
        self.updating = False
        """Weights or moments may be half changed: stays true when the update raised."""
        self._trained = [p for p in model.parameters() if p.requires_grad]

    def step(self, window: Window, learning_rate: float) -> StepNumbers | None:
        """Learn from one window at `learning_rate`; None when it was dropped, with no trace but
        the random numbers drawn for it.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        accumulated = self.accumulate(window)
        if accumulated is None:
            self._optimizer.zero_grad()
            return None
        nll = self._strategy.sum_loss(accumulated)
        norm = self._strategy.clip(self._accelerator, self._trained, self._clip)
        loss, grad_norm = torch.stack((nll / window.target_tokens, norm.to(nll))).tolist()
        skipped = not (math.isfinite(loss) and math.isfinite(grad_norm))
        skipped = skipped or self.is_outlier(loss, grad_norm)
        self.updating = True
        self._strategy.update(self._accelerator, self._optimizer, skipped=skipped)
        self.updating = False
        return StepNumbers(loss, grad_norm, skipped)

    def accumulate(self, window: Window) -> torch.Tensor | None:
        """Gradients of this process's share of the window's mean; the sum of its losses, still on
        the device. None when a stop was asked for between two micro-batches.
        """
        device = self._accelerator.device
        total = torch.zeros((), device=device)
        shares = list(own_share(window.batches, self._team))
        for at, (batch, counts) in enumerate(shares, 1):
            if self.gives_up():
                return None
            self._strategy.before_pass(last=at == len(shares))
            nll = self._objective.nll_sum(batch.to(device))
            weight = self._strategy.loss_factor / window.target_tokens if counts else 0.0
            self._strategy.backward(self._accelerator, nll * weight)
            if counts:
                total += nll.detach()
        return total


def _never(*_: float) -> bool:
    return False

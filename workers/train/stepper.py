"""One optimizer step over the micro-batches of a window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workers.train.batches import Window
from workers.train.objective import Objective

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class StepNumbers:
    """What a step was, on the host."""

    loss: float
    """Mean over the window's target tokens, in nats."""
    grad_norm: float
    """Before clipping."""
    skipped: bool
    """Loss or norm was not finite: the weights were left alone."""


class Stepper:
    """Forward, backward, clip, update.

    Between the first micro-batch and the end of the step the host waits for the card once: when
    loss and norm are copied together. Nothing else reads a tensor's value. (With fp16 the loss
    scaler reads its own overflow flag as well.)
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: Any,
        optimizer: Any,
        objective: Objective,
        max_grad_norm: float,
    ) -> None:
        self._accelerator = accelerator
        self._optimizer = optimizer
        self._objective = objective
        self._clip = max_grad_norm
        self._trained = [p for p in model.parameters() if p.requires_grad]

    def step(self, window: Window, learning_rate: float) -> StepNumbers:
        """Learn from one window at `learning_rate`."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        nll = self._accumulate(window)
        norm = self._accelerator.clip_grad_norm_(self._trained, self._clip)
        loss, grad_norm = torch.stack((nll / window.target_tokens, norm.to(nll.dtype))).tolist()
        skipped = not (math.isfinite(loss) and math.isfinite(grad_norm))
        self._update(skipped)
        return StepNumbers(loss, grad_norm, skipped)

    def _accumulate(self, window: Window) -> torch.Tensor:
        """Gradients of the whole window's mean; the sum of its losses, still on the device."""
        total = torch.zeros((), device=self._accelerator.device)
        for batch in window.batches:
            nll = self._objective.nll_sum(batch.to(self._accelerator.device))
            self._accelerator.backward(nll / window.target_tokens)
            total += nll.detach()
        return total

    def _update(self, skipped: bool) -> None:
        scaler = self._accelerator.scaler
        if not skipped:
            self._optimizer.step()
        elif scaler is not None:
            scaler.update()  # it saw the overflow when the gradients were unscaled: lower the scale
        self._optimizer.zero_grad()

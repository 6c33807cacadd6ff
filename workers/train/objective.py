"""The loss: negative log likelihood summed over target tokens, to be divided by their number over
the whole accumulated batch. (Averaging the means of micro-batches is the best-known bug of the
field, https://github.com/huggingface/transformers/pull/34191.)
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as functional

from workers.train.batches import IGNORED, MicroBatch


class Objective:
    """Sums the loss of micro-batches through one model."""

    def __init__(self, model: torch.nn.Module, forward_of: Any | None = None) -> None:
        self._model = model
        signature = inspect.signature(type(forward_of or model).forward)
        self._selects = "logits_to_keep" in signature.parameters

    def nll_sum(self, batch: MicroBatch) -> torch.Tensor:
        """fp32 scalar on the model's device: the sum over the batch's target tokens, in nats."""
        if self._selects:
            logits = self._logits(batch, logits_to_keep=batch.positions)
        else:
            logits = self._logits(batch)[:, batch.positions]
        return functional.cross_entropy(
            logits.float().flatten(0, 1),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )

    def _logits(self, batch: MicroBatch, **selection: torch.Tensor) -> torch.Tensor:
        # With a cache transformers would build masks for it and keep every layer's keys.
        output = self._model(input_ids=batch.input_ids, use_cache=False, **selection)
        logits: torch.Tensor = output.logits
        return logits

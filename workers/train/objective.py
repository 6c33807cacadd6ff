"""The loss: negative log likelihood summed over target tokens, to be divided by their number over
the whole accumulated batch. (Averaging the means of micro-batches is the best-known bug of the
field, https://github.com/huggingface/transformers/pull/34191.)

Of the model's last layer, the head, only the rows that predict a target are computed. With
`chunked` not even their logits are ever held together: head and loss are one function that stands
in the head's place while the model runs, so that wrappers around the model (autocast, several
processes, sharded weights) see an ordinary forward pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from workers.train import attention
from workers.train.batches import IGNORED, MicroBatch
from workers.train.fast.cross_entropy import CHUNK_TOKENS, linear_nll_sum

_AFTER_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling", "logits_scale")
"""Settings of models that change the logits behind the head."""


@dataclass(frozen=True)
class SampleLoss:
    """What the model makes of one training sample."""

    sample: int
    nll_sum: float
    """In nats."""
    target_tokens: int


class Objective:
    """Sums the loss of micro-batches through one model.

    Args:
        model: what is called: the model, or a wrapper around it.
        forward_of: the transformers model inside, when `model` is a wrapper.
        chunked: never hold all logits; `why_plain` says when that is not possible.
    """

    def __init__(
        self, model: torch.nn.Module, forward_of: Any | None = None, *, chunked: bool = True
    ) -> None:
        self._model = model
        inside: Any = forward_of if forward_of is not None else model
        self._selects = "logits_to_keep" in inspect.signature(type(inside).forward).parameters
        self._varlen = _attention_of(inside) == attention.NAME
        self.why_plain = _why_plain(inside, self._selects) if chunked else "not_wanted"
        """Why logits are held whole: "" when they are not."""
        self._head = None if self.why_plain else inside.get_output_embeddings()

    def nll_sum(self, batch: MicroBatch) -> torch.Tensor:
        """fp32 scalar on the model's device: the sum over the batch's target tokens, in nats."""
        targets = batch.targets.flatten()
        if self._head is None:
            return _plain_nll(self._logits(batch), targets).sum()
        with _in_place_of(self._head, lambda states, w: linear_nll_sum(states, w, targets)):
            found = self._logits(batch)
        return found if found.ndim == 0 else _plain_nll(found, targets).sum()

    @torch.no_grad()
    def per_sample_nll(self, batch: MicroBatch) -> list[SampleLoss]:
        """Loss by training sample, in the order of the batch; waits for the device.

        The model is called once, as in training: with several processes, each must call it.
        """
        targets = batch.targets.flatten()
        if self._head is None:
            each = _plain_nll(self._logits(batch), targets)
        else:
            with _in_place_of(self._head, lambda states, w: _nll_each(states, w, targets)):
                found = self._logits(batch)
            each = found if found.ndim == 1 else _plain_nll(found, targets)
        return _by_sample(each.double().cpu().numpy(), batch)

    def _logits(self, batch: MicroBatch) -> torch.Tensor:
        """(rows, kept, vocabulary), or what stands in the head's place."""
        # With a cache transformers would build masks for it and keep every layer's keys.
        inputs: dict[str, Any] = {"input_ids": batch.input_ids, "use_cache": False}
        if batch.segments is not None:
            inputs["position_ids"] = batch.position_ids
            if self._varlen:
                inputs |= {"cu_seq_lens_q": batch.segments, "cu_seq_lens_k": batch.segments}
                inputs |= {"max_length_q": batch.longest, "max_length_k": batch.longest}
        if self._selects:
            inputs["logits_to_keep"] = batch.positions
        logits: torch.Tensor = self._model(**inputs).logits
        return logits if self._selects else logits[:, batch.positions]


def _attention_of(model: Any) -> str:
    return str(getattr(getattr(model, "config", None), "_attn_implementation", ""))


def _why_plain(model: Any, selects: bool) -> str:
    """Why head and loss cannot be one function: a code, or "" when they can."""
    config = getattr(model, "config", None)
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    if not selects or head is None:
        return "unknown_model"
    if any(getattr(config, name, None) not in (None, 0, 1, 1.0) for name in _AFTER_THE_HEAD):
        return "logits_are_changed"
    if type(head).forward is not torch.nn.Linear.forward or head.bias is not None:
        return "head_is_special"  # an adapter on it, or quantized
    return ""


@contextmanager
def _in_place_of(head: Any, loss: Any) -> Iterator[None]:
    """While it lasts, the head's answer is `loss(states, weight)`, states being (tokens, width).

    The weight is looked up when the head is called: sharded weights are whole only then. Where it
    is a part of a matrix even then (tensor parallel), the head does what it always did.
    """
    plain, own = head.forward, head.__dict__.get("forward")

    def forward(states: torch.Tensor) -> torch.Tensor:
        if isinstance(head.weight, _dtensor()):
            return plain(states)  # type: ignore[no-any-return]
        return loss(states.flatten(0, -2), head.weight)  # type: ignore[no-any-return]

    head.forward = forward
    try:
        yield
    finally:
        if own is None:
            del head.forward
        else:
            head.forward = own


def _dtensor() -> type:
    from torch.distributed.tensor import DTensor

    return DTensor


def _plain_nll(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """fp32 (rows * kept,)."""
    return functional.cross_entropy(
        logits.float().flatten(0, -2), targets, ignore_index=IGNORED, reduction="none"
    )


def _nll_each(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """fp32 (tokens,), a chunk of logits at a time; without gradient."""
    chunks = zip(*(torch.split(t, CHUNK_TOKENS) for t in (states, targets)), strict=True)
    return torch.cat(
        [_plain_nll(functional.linear(s.to(weight.dtype), weight), t) for s, t in chunks]
    )


def _by_sample(nll: Any, batch: MicroBatch) -> list[SampleLoss]:
    owners = batch.owners.flatten()
    counted = batch.targets.flatten().cpu().numpy() != IGNORED
    samples = list(dict.fromkeys(owners.tolist()))
    found = []
    for sample in samples:
        mine = counted & (owners == sample)
        found.append(SampleLoss(sample, float(np.sum(nll[mine])), int(mine.sum())))
    return found

"""The one figure that stands for an evaluation of several splits."""

from __future__ import annotations

from collections.abc import Iterable

from core.protocol.events import EvalDone


def mean_eval_loss(evals: Iterable[EvalDone]) -> float | None:
    """Loss over all splits of one evaluation in nats a token; None without any.

    Each split's loss is a mean over its target tokens, so the splits are weighted by them: the
    result is what one pass over all samples together gives.
    """
    found = tuple(evals)
    weights = [e.target_tokens or e.samples or 1 for e in found]
    if not found:
        return None
    return sum(e.loss * w for e, w in zip(found, weights, strict=True)) / sum(weights)

"""Arithmetic of a training step: what model FLOPs utilization (MFU) counts.

A weight in a matrix product costs 2 FLOPs a token forward, 2 for the gradient of its input, and 2
for its own gradient, which a frozen weight has not: 6 a token for full fine-tuning, 4 for an
adapter on a frozen model (its own matrices are under 1 %). Causal attention adds forward
`tokens * (query + out)` a layer for its two products, and twice that backward. Recomputed
activations are work of the machine, not of the model, and do not count
(https://arxiv.org/abs/2204.02311, appendix B).
"""

from __future__ import annotations

from collections.abc import Iterable

from core.planning.shapes import ModelShape


def flops_per_token(shape: ModelShape, method: str, tokens: float) -> float:
    """Forward and backward of one token.

    Args:
        shape: of the model; of routed experts only those that a token passes count.
        method: "lora" or "full".
        tokens: how many the documents have, see `typical_tokens`.
    """
    per_weight = 6.0 if method == "full" else 4.0
    attention = shape.attention
    products = 3.0 * shape.layers * tokens * (attention.query + attention.out)
    return per_weight * multiplied_weights(shape) + products


def multiplied_weights(shape: ModelShape) -> int:
    """Weights that a token is multiplied with: all but the input embedding and unchosen experts."""
    experts = shape.experts
    routed = experts.layers * experts.chosen * 3 * shape.hidden * experts.width if experts else 0
    head = shape.embedding  # also where it is the embedding itself
    return shape.linear_weights + head + shape.router_parameters + routed


def typical_tokens(lengths: Iterable[int]) -> float:
    """Length of the document that the average token stands in: a token of a long one costs more."""
    total = squares = 0
    for length in lengths:
        total += length
        squares += length * length
    return squares / total if total else 0.0

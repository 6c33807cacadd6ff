"""Cross-entropy of a language model's head that never holds the logits of all tokens.

Head and loss are one function, computed a chunk of tokens at a time. The gradient of the hidden
states is made in the forward pass, while the chunk's logits are still there: the backward pass
multiplies it by the upstream gradient and computes nothing twice.
"""

from __future__ import annotations

from typing import Any

import torch

from workers.train.fast.support import kernels_run_on

IGNORED = -100
"""A target without loss."""
CHUNK_TOKENS = 2048
"""0.4 GiB of bf16 logits with DeepSeek-LLM's vocabulary; larger chunks were no faster."""
_FP16_LIFT = 1024.0
"""Probabilities of a 100,000-word vocabulary are below fp16's normal numbers: lift them."""


def linear_nll_sum(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    chunk_tokens: int = CHUNK_TOKENS,
) -> torch.Tensor:
    """Sum of the negative log likelihoods of `targets` under softmax(hidden @ weight.T), in nats.

    Products are computed in autocast's dtype where autocast is on, else in that of `hidden`; the
    softmax and the sum in fp32. Differentiable once, in `hidden` and in `weight`, whichever
    requires it; nothing is kept for the backward pass under `torch.no_grad()`.

    Args:
        hidden: (tokens, width), the states behind the last norm.
        weight: (vocabulary, width), the head's matrix.
        targets: int64 (tokens,), the token to predict at each state, or `IGNORED`.
        chunk_tokens: how many tokens' logits exist at once.

    Returns:
        fp32 scalar on the device of `hidden`.
    """
    if hidden.ndim != 2 or targets.shape != hidden.shape[:1] or chunk_tokens < 1:
        raise ValueError(f"shapes {tuple(hidden.shape)} and {tuple(targets.shape)} do not fit")
    grad = torch.is_grad_enabled()
    total: torch.Tensor = _LinearNllSum.apply(  # type: ignore[no-untyped-call]
        hidden,
        weight,
        targets,
        chunk_tokens,
        grad and hidden.requires_grad,
        grad and weight.requires_grad,
    )
    return total


class _LinearNllSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        chunk_tokens: int,
        hidden_grad: bool,
        weight_grad: bool,
    ) -> torch.Tensor:
        dtype = _compute_dtype(hidden)
        head = weight.to(dtype)
        lift = _FP16_LIFT if dtype == torch.float16 else 1.0
        d_hidden = torch.empty_like(hidden, dtype=dtype) if hidden_grad else None
        # Summing chunks in 16 bits would lose what late chunks add.
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if weight_grad else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], chunk_tokens):
                rows = slice(start, start + chunk_tokens)
                states = hidden[rows].to(dtype)
                logits = states @ head.t()
                total += _nll_and_gradient(logits, targets[rows], lift, hidden_grad or weight_grad)
                if d_hidden is not None:
                    torch.mm(logits, head, out=d_hidden[rows])
                if d_weight is not None:
                    d_weight += logits.t() @ states
                del logits  # or two chunks' logits would be held at once
        ctx.save_for_backward(d_hidden, d_weight)
        ctx.lift = lift
        ctx.dtypes = hidden.dtype, weight.dtype
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        scale = upstream / ctx.lift
        gradients = [
            None if d is None else _scaled(d, scale, dtype)
            for d, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*gradients, None, None, None, None)


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _scaled(gradient: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`scale` has no dimension: it would not widen fp16, and a loss scale overflows it."""
    if gradient.dtype == torch.float16:
        return (gradient.float() * scale).to(dtype)
    return (gradient * scale).to(dtype)


def _nll_and_gradient(
    logits: torch.Tensor, targets: torch.Tensor, lift: float, gradient: bool
) -> torch.Tensor:
    """The chunk's loss sum; `logits` become `lift` times its gradient in them, if wanted."""
    if kernels_run_on(logits):
        from workers.train.fast.kernels.nll import nll_and_gradient

        return nll_and_gradient(logits, targets, lift, gradient)
    return reference_nll_and_gradient(logits, targets, lift, gradient)


def reference_nll_and_gradient(
    logits: torch.Tensor, targets: torch.Tensor, lift: float, gradient: bool
) -> torch.Tensor:
    """What the kernel does, in torch."""
    counted = targets != IGNORED
    index = targets.clamp(min=0)[:, None]
    wide = logits.float()
    normalizer = torch.logsumexp(wide, dim=1, keepdim=True)
    nll = (normalizer - wide.gather(1, index))[:, 0]
    if gradient:
        slope = torch.exp(wide - normalizer)
        slope.scatter_add_(1, index, torch.full_like(index, -1, dtype=slope.dtype))
        # `where`, not a product: a row that overflowed may be one without a target.
        logits.copy_(torch.where(counted[:, None], slope * lift, 0.0))
    return torch.where(counted, nll, 0.0).sum()

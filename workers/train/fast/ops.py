"""The steps between matrix products: a Triton kernel where it runs, else torch. No autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as functional

from workers.train.fast.support import kernels_run_on

if TYPE_CHECKING:
    from workers.train.fast.projections import Packed


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normed rows, and 1 / root mean square of each (fp32, flat). `x` is contiguous."""
    if kernels_run_on(x):
        from workers.train.fast.kernels import norm

        return norm.rms_norm(x, weight, eps)
    return reference_rms_norm(x, weight, eps)


def rms_norm_backward(
    upstream: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient in `x`, plus `residual`: the gradient that goes around the norm.

    Args:
        upstream: gradient of the normed rows, shaped as `x`.
        x: what was normed.
        inverse: from `rms_norm`.
        weight: the norm's gain, frozen.
        residual: shaped as `x`, or None.
        out: where to write; may be `upstream`. New when None.
    """
    target = torch.empty_like(x) if out is None else out
    if kernels_run_on(x):
        from workers.train.fast.kernels import norm

        return norm.rms_norm_backward(upstream, x, inverse, weight, residual, target)
    return target.copy_(reference_rms_norm_backward(upstream, x, inverse, weight, residual))


def rotates_with(packed: Packed | None) -> tuple[int, ...]:
    """Which of q and k `rotate_` can add the adapter's part to: 0 and 1, or none.

    On a card that saves a pass over each. The kernel's matrix unit wants ranks of 16 to 64.
    """
    if packed is None or not packed.a.is_cuda or not kernels_run_on(packed.a):
        return ()
    fits = all(rank in (16, 32, 64) for rank in packed.ranks)
    return (0, 1) if fits and packed.a.dtype != torch.float32 else ()


def rotate_(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    sign: float,
    missing: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Turn the heads of `x` in place by their positions' angles; `sign` -1 turns back.

    Args:
        x: contiguous (batch, tokens, heads, width).
        cos: contiguous (batch or 1, tokens, width), both halves alike.
        sin: the same.
        sign: 1.0 or -1.0.
        missing: factors (batch * tokens, rank) and (heads * width, rank) of what is to be added
            before the turn. Only where `rotates_with` says so.
    """
    if kernels_run_on(x):
        from workers.train.fast.kernels import rope

        if missing is not None:
            return rope.add_and_rotate_(x, cos, sin, sign, *missing)
        return rope.rotate_(x, cos, sin, sign)
    assert missing is None
    return reference_rotate_(x, cos, sin, sign)


def swiglu(gate: torch.Tensor, up: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """silu(gate) * up, into `out` (which may be `gate`) or a new tensor."""
    target = torch.empty_like(gate) if out is None else out
    if kernels_run_on(gate):
        from workers.train.fast.kernels import swiglu as kernels

        return kernels.swiglu(gate, up, target)
    return target.copy_(reference_swiglu(gate, up))


def swiglu_backward_(
    gate: torch.Tensor, up: torch.Tensor, slope: torch.Tensor, *, product: bool = True
) -> None:
    """All in place: `gate` and `up` become their gradients, `slope` becomes silu(gate) * up.

    Args:
        gate: contiguous, as in the forward pass.
        up: the same.
        slope: gradient of silu(gate) * up.
        product: false when nobody wants silu(gate) * up; what `slope` becomes is then undefined.
    """
    if kernels_run_on(gate):
        from workers.train.fast.kernels import swiglu as kernels

        kernels.swiglu_backward_(gate, up, slope, product)
    else:
        reference_swiglu_backward_(gate, up, slope)


def reference_rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`rms_norm` in torch."""
    wide = x.float()
    inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return (wide * inverse).to(x.dtype) * weight, inverse.flatten()


def reference_rms_norm_backward(
    upstream: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor | None,
) -> torch.Tensor:
    """`rms_norm_backward` in torch."""
    scale = inverse.view(*x.shape[:-1], 1)
    normed = x.float() * scale
    slope = upstream.float() * weight.float()
    result = (slope - normed * (slope * normed).mean(-1, keepdim=True)) * scale
    return (result if residual is None else result + residual.float()).to(x.dtype)


def reference_rotate_(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: float
) -> torch.Tensor:
    """`rotate_` in torch."""
    half = x.shape[-1] // 2
    c, s = cos[:, :, None, :half].float(), sin[:, :, None, :half].float() * sign
    a, b = x[..., :half].float(), x[..., half:].float()
    low, high = a * c - b * s, b * c + a * s
    x[..., :half] = low
    x[..., half:] = high
    return x


def reference_swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`swiglu` in torch."""
    return functional.silu(gate) * up


def reference_swiglu_backward_(gate: torch.Tensor, up: torch.Tensor, slope: torch.Tensor) -> None:
    """`swiglu_backward_` in torch."""
    g, u, d = gate.float(), up.float(), slope.float()
    opened = torch.sigmoid(g)
    activated = g * opened
    # All are computed before any is written: in fp32 `g`, `u` and `d` are the tensors themselves.
    product = activated.to(gate.dtype) * up
    d_gate = d * u * (opened + activated * (1 - opened))
    up.copy_(d * activated)
    gate.copy_(d_gate)
    slope.copy_(product)

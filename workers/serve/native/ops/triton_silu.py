"""`silu(gate) * up` (https://arxiv.org/abs/2002.05202) of the fused projection's two halves."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from workers.serve.native.ops.triton_launch import gdc_launch_dependents, gdc_wait, launch

_BLOCK = 1024


@triton.jit
def _silu_mul(gate_up, out, width, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    if OVERLAP:
        gdc_launch_dependents()
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    at = gate_up + row * (2 * width) + column
    if OVERLAP:
        gdc_wait()
    gate = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(at + width, mask=inside, other=0.0).to(tl.float32)
    # Rounded between the two, as torch does it.
    gated = (gate * tl.sigmoid(gate)).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * width + column, (gated * up).to(out.dtype.element_ty), mask=inside)


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """As `reference.silu_mul`."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, width)
    _silu_mul[(rows, triton.cdiv(width, _BLOCK))](gate_up, out, width, _BLOCK, **launch(gate_up))
    return out


def suits_silu_mul(gate_up: torch.Tensor) -> bool:
    """Contiguous rows."""
    return gate_up.ndim == 2 and gate_up.is_contiguous()

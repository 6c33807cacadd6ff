"""Unpacking of 4-bit base weights (NF4, https://arxiv.org/abs/2305.14314)."""

from __future__ import annotations

from typing import Any

import torch

from workers.train.fast.support import kernels_run_on


def is_nf4(weight: Any) -> bool:
    """A weight that bitsandbytes has packed to 4 bits."""
    return getattr(weight, "quant_state", None) is not None


def unpack_nf4(weight: Any, dtype: torch.dtype) -> torch.Tensor:
    """(out, in) in `dtype`, a new tensor; rounded once, from the fp32 product of code and scale."""
    state = weight.quant_state
    if kernels_run_on(weight) and _even(state):
        from workers.train.fast.kernels.nf4 import unpack

        return unpack(weight.data, state, dtype)
    from bitsandbytes.functional import dequantize_4bit

    unpacked: torch.Tensor = dequantize_4bit(weight.data, state)
    return unpacked.to(dtype)


def _even(state: Any) -> bool:
    """Two weights a byte, without one left over at the end."""
    return bool(state.shape.numel() % 2 == 0)

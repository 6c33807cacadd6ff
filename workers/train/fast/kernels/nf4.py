"""NF4 weights to 16 bits in one pass, double-quantized scales included."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_BYTES = 1024
"""Packed bytes a program unpacks."""


@triton.jit
def _unpack(packed, code, scales, scale_code, scale_scales, offset, out, count,
            BLOCK: tl.constexpr, SCALE_BLOCK: tl.constexpr, NESTED: tl.constexpr,
            BYTES: tl.constexpr):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BYTES + tl.arange(0, BYTES)
    inside = at < count
    byte = tl.load(packed + at, mask=inside, other=0).to(tl.int32)
    block = at // (BLOCK // 2)
    if NESTED:
        index = tl.load(scales + block, mask=inside, other=0).to(tl.int32)
        scale = tl.load(scale_code + index)
        scale = scale * tl.load(scale_scales + block // SCALE_BLOCK, mask=inside, other=0.0)
        scale += tl.load(offset)
    else:
        scale = tl.load(scales + block, mask=inside, other=0.0)
    first = tl.load(code + (byte >> 4)) * scale
    second = tl.load(code + (byte & 15)) * scale
    both = tl.interleave(first, second)
    spot = tl.program_id(0).to(tl.int64) * (2 * BYTES) + tl.arange(0, 2 * BYTES)
    tl.store(out + spot, both.to(out.dtype.element_ty), mask=spot < 2 * count)


def unpack(packed: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    """The matrix that bitsandbytes packed with quantization state `state`."""
    out = torch.empty(state.shape, dtype=dtype, device=packed.device)
    count = packed.numel()
    second = state.state2 if state.nested else None
    _unpack[(triton.cdiv(count, _BYTES),)](
        packed, state.code, state.absmax,
        state.code if second is None else second.code,
        state.code if second is None else second.absmax,
        state.code if second is None else state.offset,
        out, count, state.blocksize, 1 if second is None else second.blocksize,
        second is not None, _BYTES, num_warps=4,
    )  # fmt: skip
    return out

"""Attention over pages: rows that write go one way, prompts the other, both in a mixed pass."""

from __future__ import annotations

import torch

from workers.serve.native.batch import StepBatch
from workers.serve.native.ops.triton_paged_decode import decode
from workers.serve.native.ops.triton_paged_prefill import prefill

_WIDTHS = (32, 64, 128, 256)


def paged_attention(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> torch.Tensor:
    """As `reference.paged_attention`."""
    out = torch.empty_like(q)
    if batch.max_query > 1:
        prefill(q, keys, values, batch, scale, out)
    # Rows of one token, which `prefill` leaves out: a long context is split there.
    if batch.max_query == 1 or batch.rows > 1:
        decode(q, keys, values, batch, scale, out)
    return out.flatten(1)


def suits_paged_attention(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, batch: StepBatch, scale: float
) -> bool:
    """Head widths that tensor cores take, contiguous pools of the queries' type."""
    return (
        q.shape[-1] in _WIDTHS
        and q.dtype == keys.dtype == values.dtype
        and all(t.is_contiguous() for t in (q, keys, values, batch.page_table))
    )

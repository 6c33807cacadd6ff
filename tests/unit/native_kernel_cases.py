"""Passes and pools for tests of the native engine's kernels, on any device."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from workers.serve.native.batch import StepBatch

PAGE = 16


def far(a: Any, b: Any) -> float:
    """Relative distance."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def a_pass(
    rows: list[tuple[int, int]], pages: int, device: str = "cpu", spare: int = 0
) -> StepBatch:
    """Rows of (context, new tokens) on pages in random order, tables `spare` entries too wide."""
    order = (torch.randperm(pages - 1) + 1).tolist()
    needed = [-(-context // PAGE) for context, _ in rows]
    table = torch.zeros(len(rows), max(needed) + spare, dtype=torch.int32)
    for line, count in zip(table, needed, strict=True):
        line[:count] = torch.tensor([order.pop() for _ in range(count)], dtype=torch.int32)
    positions, slots = [], []
    for line, (context, new) in zip(table.tolist(), rows, strict=True):
        for at in range(context - new, context):
            positions.append(at)
            slots.append(line[at // PAGE] * PAGE + at % PAGE)
    starts = list(itertools.accumulate((new for _, new in rows), initial=0))
    tokens = starts[-1]
    return StepBatch(
        input_ids=torch.zeros(tokens, dtype=torch.int64, device=device),
        positions=torch.tensor(positions, device=device),
        slots=torch.tensor(slots, device=device),
        page_table=table.to(device),
        context_lens=torch.tensor([c for c, _ in rows], dtype=torch.int32, device=device),
        query_starts=torch.tensor(starts, dtype=torch.int32, device=device),
        logits_at=torch.arange(tokens, device=device),
        adapters=None,
        max_query=max(new for _, new in rows),
        max_context=max(context for context, _ in rows),
    )


def nf4(wide: int, deep: int, device: str = "cpu") -> tuple[Any, Any, Any]:
    """(packed, absmax, code) of a random matrix; the numbers are those of NF4."""
    packed = torch.randint(0, 256, (wide * deep // 2,), dtype=torch.uint8, device=device)
    absmax = torch.rand(wide * deep // 64, device=device) + 0.1
    numbers = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.03, 0.97, 16))
    return packed, absmax, (numbers / numbers.abs().max()).to(device)

"""Batches in tensors that never move, for recorded passes: a pass is copied in, the rest padded.

Padding reads and writes the scratch page alone. A pass of writing rows is filled up with rows, one
that reads prompts with tokens: they form a row of their own in front of all others.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

import torch

from workers.serve.native.batch import StepBatch
from workers.serve.native.pool import KvPool

_SMALL_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)
_ROWS_STEP = 32
"""Between larger recordings."""
_TOKENS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Beyond the card computes longer than the host takes to launch."""


def row_sizes(max_rows: int) -> list[int]:
    """Numbers of rows that are recorded; the last one holds `max_rows`."""
    sizes = [size for size in _SMALL_ROWS if size < max_rows]
    sizes += range(_SMALL_ROWS[-1] + _ROWS_STEP, max_rows, _ROWS_STEP)
    return [*sizes, max_rows]


def token_sizes(max_tokens: int) -> list[int]:
    """Numbers of tokens that are recorded; the last one holds `max_tokens`, if that is not many."""
    if max_tokens < 1:
        return []
    sizes = [size for size in _TOKENS if size < max_tokens]
    return [*sizes, max_tokens] if max_tokens <= _TOKENS[-1] else sizes


class FixedInputs(Protocol):
    """Room for one kind of pass."""

    sizes: list[int]
    """That can be recorded, smallest first; empty when this kind is not recorded."""

    def size_for(self, batch: StepBatch) -> int | None:
        """The recording that takes this batch."""

    def batch(self, size: int, *, with_adapters: bool) -> StepBatch:
        """The fixed tensors as a batch: what a recording reads."""

    def fill(self, batch: StepBatch, size: int) -> None:
        """Copy a batch in, for the recording of `size`."""

    def clear(self, size: int) -> None:
        """Nothing but padding, in passes of this size."""


class WritingRows:
    """Passes in which every row writes one token."""

    def __init__(self, pool: KvPool, max_rows: int, positions: int) -> None:
        self.sizes = row_sizes(max_rows)
        self._all = _zeros(pool, max_rows, max_rows, -(-positions // pool.page_size))
        self._all.context_lens.fill_(1)
        self._all.query_starts.copy_(torch.arange(max_rows + 1))
        self._all.logits_at.copy_(torch.arange(max_rows))
        self._all.max_query = 1
        self._used = 0
        """Leading rows that are not padding."""

    def size_for(self, batch: StepBatch) -> int | None:
        """By the number of rows."""
        return _next(self.sizes, batch.rows) if batch.decodes else None

    def batch(self, size: int, *, with_adapters: bool) -> StepBatch:
        """The first `size` rows."""
        return _slice(self._all, size, size, with_adapters=with_adapters)

    def fill(self, batch: StepBatch, size: int) -> None:
        """Rows behind those of the batch become padding."""
        fixed, (rows, pages) = self._all, batch.page_table.shape
        self._pad_from(rows)
        self._used = rows
        torch._foreach_copy_(
            [fixed.input_ids[:rows], fixed.positions[:rows], fixed.slots[:rows]],
            [batch.input_ids, batch.positions, batch.slots],
        )
        fixed.context_lens[:rows].copy_(batch.context_lens)
        fixed.page_table[:rows, :pages].copy_(batch.page_table)
        if batch.adapters is not None and fixed.adapters is not None:
            fixed.adapters[:rows].copy_(batch.adapters)

    def clear(self, size: int) -> None:
        """All rows are padding."""
        self._pad_from(0)

    def _pad_from(self, row: int) -> None:
        fixed, used = self._all, self._used
        if row >= used:
            return
        at = slice(row, used)
        torch._foreach_zero_([fixed.input_ids[at], fixed.positions[at], fixed.slots[at]])
        fixed.context_lens[at].fill_(1)
        fixed.page_table[at, 0].zero_()
        if fixed.adapters is not None:
            fixed.adapters[at].zero_()
        self._used = row


class ReadingTokens:
    """Passes that read prompts, beside rows that write.

    The batch stands at the end of the fixed tokens. What is in front of it is row 0, whose pages
    are the scratch page; rows behind the batch's have no tokens.
    """

    def __init__(self, pool: KvPool, max_rows: int, max_tokens: int, positions: int) -> None:
        self.sizes = token_sizes(max_tokens)
        tokens = self.sizes[-1] if self.sizes else 0
        self._rows = max_rows
        pages = -(-max(positions, tokens) // pool.page_size)
        self._all = _zeros(pool, tokens, max_rows + 1, pages)
        self._all.logits_at = self._all.logits_at[:max_rows]
        self._all.max_query = max(2, tokens)

    def size_for(self, batch: StepBatch) -> int | None:
        """By the number of tokens, unless too many are asked for their logits."""
        if batch.rows > self._rows or batch.logits_at.shape[0] > self._rows:
            return None
        return _next(self.sizes, batch.tokens)

    def batch(self, size: int, *, with_adapters: bool) -> StepBatch:
        """The first `size` tokens, room for all rows."""
        rows = self._rows + 1
        made = _slice(self._all, size, rows, with_adapters=with_adapters)
        made.logits_at = self._all.logits_at
        return made

    def fill(self, batch: StepBatch, size: int) -> None:
        """The batch behind the padding."""
        fixed, (rows, pages) = self._all, batch.page_table.shape
        front, due = size - batch.tokens, batch.logits_at.shape[0]
        at = slice(front, size)
        fixed.slots[:front].zero_()
        torch._foreach_copy_(
            [fixed.input_ids[at], fixed.positions[at], fixed.slots[at]],
            [batch.input_ids, batch.positions, batch.slots],
        )
        fixed.context_lens[0].fill_(front)
        fixed.context_lens[1 : rows + 1].copy_(batch.context_lens)
        fixed.page_table[1 : rows + 1, :pages].copy_(batch.page_table)
        torch.add(batch.query_starts, front, out=fixed.query_starts[1 : rows + 2])
        fixed.query_starts[rows + 2 :].fill_(size)
        torch.add(batch.logits_at, front, out=fixed.logits_at[:due])
        fixed.logits_at[due:].zero_()
        if batch.adapters is not None and fixed.adapters is not None:
            fixed.adapters[:front].zero_()
            fixed.adapters[at].copy_(batch.adapters)

    def clear(self, size: int) -> None:
        """All tokens belong to row 0, the other rows have none."""
        fixed = self._all
        fixed.slots.zero_()
        fixed.logits_at.zero_()
        fixed.context_lens[0].fill_(size)
        fixed.query_starts[1:].fill_(size)


def _next(sizes: list[int], wanted: int) -> int | None:
    at = bisect_left(sizes, wanted)
    return sizes[at] if at < len(sizes) else None


def _zeros(pool: KvPool, tokens: int, rows: int, pages: int) -> StepBatch:
    def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype, device=pool.device)

    return StepBatch(
        input_ids=zeros(tokens),
        positions=zeros(tokens),
        slots=zeros(tokens),
        page_table=zeros(rows, pages, dtype=torch.int32),
        context_lens=zeros(rows, dtype=torch.int32),
        query_starts=zeros(rows + 1, dtype=torch.int32),
        logits_at=zeros(rows),
        adapters=zeros(tokens),
        max_query=tokens,
        max_context=pages * pool.page_size,
    )


def _slice(fixed: StepBatch, tokens: int, rows: int, *, with_adapters: bool) -> StepBatch:
    """The same memory, fewer tokens and rows."""
    return StepBatch(
        input_ids=fixed.input_ids[:tokens],
        positions=fixed.positions[:tokens],
        slots=fixed.slots[:tokens],
        page_table=fixed.page_table[:rows],
        context_lens=fixed.context_lens[:rows],
        query_starts=fixed.query_starts[: rows + 1],
        logits_at=fixed.logits_at[:rows],
        adapters=fixed.adapters[:tokens] if with_adapters and fixed.adapters is not None else None,
        max_query=fixed.max_query,
        max_context=fixed.max_context,
    )

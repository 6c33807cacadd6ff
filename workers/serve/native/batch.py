"""The tensors of one pass through the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Where one row's keys and values lie, for code that walks over rows on the processor."""

    pages: list[int]
    """The row's pages, in the order of its tokens; the last one may be partly filled."""
    start: int
    """Tokens already in the cache: the position of the row's first new token."""
    length: int
    """New tokens of this pass; the row's context is `start + length` tokens."""
    runs: tuple[tuple[int, int], ...]
    """The context as few slices of slots, (first slot, tokens), behind each other; mostly just one.

    A run is the view `keys.view(-1, kv_heads, head_dim)[first : first + tokens]`, without a copy.
    """


@dataclass(slots=True)
class StepBatch:
    """T new tokens of R rows, packed behind each other; every tensor on the model's device."""

    input_ids: Tensor
    """[T] int64."""
    positions: Tensor
    """[T] int64: place of each token in its row, from 0."""
    slots: Tensor
    """[T] int64: page * page_size + offset in the page, where each new token's KV goes."""
    page_table: Tensor
    """[R, P] int32: each row's pages, padded with 0."""
    context_lens: Tensor
    """[R] int32: tokens a row can look at behind this pass, the new ones included."""
    query_starts: Tensor
    """[R + 1] int32: row r's new tokens are `query_starts[r] : query_starts[r + 1]`."""
    logits_at: Tensor
    """[L] int64: which of the T tokens give logits."""
    adapters: Tensor | None
    """[T] int64: 0 the base model, i the i-th loaded adapter; None when no row has one."""
    max_query: int
    """Most new tokens of a row; 1: pure decode, then T == R and `query_starts` counts up by one."""
    max_context: int
    """The longest of `context_lens`, known without asking the device."""
    rows_on_host: list[RowSpan] | None = None
    """On the processor only."""

    @property
    def tokens(self) -> int:
        """T."""
        return self.input_ids.shape[0]

    @property
    def rows(self) -> int:
        """R."""
        return self.context_lens.shape[0]

    @property
    def decodes(self) -> bool:
        """Whether every row has exactly one new token and gives logits for it."""
        return self.max_query == 1 and self.logits_at.shape[0] == self.tokens

    @property
    def device(self) -> torch.device:
        """Where all tensors are."""
        return self.input_ids.device


def spans_to_runs(pages: list[int], tokens: int, page_size: int) -> tuple[tuple[int, int], ...]:
    """The slots of a row's first `tokens` tokens as maximal runs (first slot, tokens)."""
    runs: list[tuple[int, int]] = []
    left = tokens
    for page in pages[: -(-tokens // page_size)]:
        taken = min(page_size, left)
        first = page * page_size
        if runs and sum(runs[-1]) == first:
            runs[-1] = (runs[-1][0], runs[-1][1] + taken)
        else:
            runs.append((first, taken))
        left -= taken
    return tuple(runs)

"""From the shares of a pass to its tensors.

Two copies a pass to the card, of pinned memory, whatever there is to say. Several blocks of pinned
memory take turns: the host is never more than one step ahead, so a block that comes round again has
been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.serve.native.batch import RowSpan, StepBatch, spans_to_runs
from workers.serve.native.constants import PAGE_TOKENS
from workers.serve.native.plan import Share
from workers.serve.native.rows import Row

_BLOCKS = 6
"""A step has two passes at most, and two steps may be under way."""
_ALIGN_BYTES = 16
"""Of each tensor inside a copy: kernels read them in larger words."""
_TABLE_STEP = 16
"""The page table's width grows by this, so that kernels are specialized for few widths."""


@dataclass(slots=True)
class Packed:
    """A pass as tensors, and which of its logits decide a token."""

    batch: StepBatch
    sample_slots: Tensor
    """[S] int64 on the device: slots of the rows that get a token, in the order of their logits."""
    sample_at: Tensor | None
    """[S] int64: their places among the L logits; None when all L are sampled."""
    scored: list[tuple[Share, int]]
    """Shares whose prompt tokens are all scored, and where their logits begin."""


class Packer:
    """Packs shares for one device.

    Args:
        device: of the model.
        max_rows: slots.
        max_context_tokens: of a row.
    """

    def __init__(
        self,
        device: torch.device,
        max_rows: int,
        max_context_tokens: int,
        page_size: int = PAGE_TOKENS,
    ) -> None:
        self._device, self._page_size = device, page_size
        self._max_pages = -(-max_context_tokens // page_size)
        self._table = np.zeros((max_rows, self._max_pages + _TABLE_STEP), dtype=np.int32)
        self._wide = _Blocks(device, np.int64)
        self._narrow = _Blocks(device, np.int32)
        self.last_tokens = torch.zeros(max_rows, dtype=torch.int64, device=device)
        """By slot: what each row was given last, perhaps before the host knows."""

    def pack(self, shares: Sequence[Share]) -> Packed:
        """The tensors of a pass of at least one share."""
        counts = [share.count for share in shares]
        starts = [0, *accumulate(counts)]
        logits_at, sampled, sample_at, scored = _logits(shares, starts)
        positions = _spread([s.start for s in shares], counts)
        ids = np.fromiter(_ids(shares), np.int64, starts[-1])
        table = self._table_of(shares)
        pages = np.repeat(np.arange(len(shares)), counts), positions // self._page_size
        slots = table[pages].astype(np.int64) * self._page_size + positions % self._page_size
        choices = [s.row.adapter_index for s in shares]
        adapters = np.repeat(choices, counts) if any(choices) else ()
        wide = self._wide.copy(ids, positions, slots, logits_at, sampled, sample_at or (), adapters)
        narrow = self._narrow.copy(table.ravel(), [s.start + s.count for s in shares], starts)
        batch = StepBatch(
            input_ids=self._with_last_tokens(wide[0], ahead=bool(ids.min() < 0)),
            positions=wide[1],
            slots=wide[2],
            page_table=narrow[0].view(table.shape),
            context_lens=narrow[1],
            query_starts=narrow[2],
            logits_at=wide[3],
            adapters=wide[6] if any(choices) else None,
            max_query=max(counts),
            max_context=max(s.start + s.count for s in shares),
            rows_on_host=self._spans(shares) if self._device.type == "cpu" else None,
        )
        return Packed(batch, wide[4], wide[5] if sample_at else None, scored)

    def _with_last_tokens(self, ids: Tensor, *, ahead: bool) -> Tensor:
        """Ids below zero stand for the last token of slot -1 - id, known on the device only."""
        if not ahead:
            return ids
        known = self.last_tokens[(-1 - ids).clamp_(min=0)]
        return torch.where(ids < 0, known, ids)

    def _table_of(self, shares: Sequence[Share]) -> Any:
        """[R, P] int32: the rows' pages, as wide as the longest row of this pass needs."""
        width = 1
        for share in shares:
            row = share.row
            if row.tabled < len(row.pages):
                self._table[row.slot, row.tabled : len(row.pages)] = row.pages[row.tabled :]
                row.tabled = len(row.pages)
            width = max(width, -(-(share.start + share.count) // self._page_size))
        width = min(-(-width // _TABLE_STEP) * _TABLE_STEP, self._max_pages)
        return self._table[[share.row.slot for share in shares], :width]

    def _spans(self, shares: Sequence[Share]) -> list[RowSpan]:
        return [
            RowSpan(
                s.row.pages,
                s.start,
                s.count,
                spans_to_runs(s.row.pages, s.start + s.count, self._page_size),
            )
            for s in shares
        ]


class _Blocks:
    """Host arrays to device tensors in one copy; on the processor they are the same memory."""

    def __init__(self, device: torch.device, dtype: Any) -> None:
        self._device, self._dtype = device, np.dtype(dtype)
        self._torch_dtype = torch.from_numpy(np.zeros(0, dtype)).dtype
        self._pinned = [torch.empty(0, dtype=self._torch_dtype) for _ in range(_BLOCKS)]
        self._turn = 0
        self._align = _ALIGN_BYTES // self._dtype.itemsize

    def copy(self, *arrays: Any) -> list[Tensor]:
        """One tensor an array or list, in their order."""
        sizes = [len(array) for array in arrays]
        starts = [0, *accumulate(-(-size // self._align) * self._align for size in sizes)]
        block = self._block(starts[-1])
        host = block.numpy()
        for start, size, array in zip(starts, sizes, arrays, strict=False):
            host[start : start + size] = array
        moved = block[: starts[-1]]
        if self._device.type == "cuda":
            moved = moved.to(self._device, non_blocking=True)
        return [moved[start : start + size] for start, size in zip(starts, sizes, strict=False)]

    def _block(self, size: int) -> Tensor:
        if self._device.type != "cuda":
            return torch.empty(size, dtype=self._torch_dtype)
        self._turn = (self._turn + 1) % _BLOCKS
        if len(self._pinned[self._turn]) < size:
            self._pinned[self._turn] = torch.empty(
                2 * size, dtype=self._torch_dtype, pin_memory=True
            )
        return self._pinned[self._turn]


def _ids(shares: Sequence[Share]) -> Any:
    for share in shares:
        row, end = share.row, share.start + share.count
        yield from row.tokens[share.start : end]
        if end > len(row.tokens):
            yield -1 - row.slot


def _spread(starts: list[int], counts: list[int]) -> Any:
    """Each start, and as many numbers from there on as its count says."""
    total = sum(counts)
    if total == len(counts):
        return np.array(starts, dtype=np.int64)
    before = np.cumsum([0, *counts[:-1]])
    return np.arange(total) + np.repeat(np.array(starts, dtype=np.int64) - before, counts)


def _logits(
    shares: Sequence[Share], starts: list[int]
) -> tuple[list[int], list[int], list[int] | None, list[tuple[Share, int]]]:
    """Which tokens give logits, and what becomes of them."""
    at: list[int] = []
    slots: list[int] = []
    sample_at: list[int] = []
    scored = []
    for share, start in zip(shares, starts, strict=False):
        if scores_prompt(share.row, share.start):
            scored.append((share, len(at)))
            at += range(start, start + share.count)
        elif share.due and share.row.writes:
            at.append(start + share.count - 1)
        if share.due and share.row.writes:
            slots.append(share.row.slot)
            sample_at.append(len(at) - 1)
    return at, slots, None if len(sample_at) == len(at) else sample_at, scored


def scores_prompt(row: Row, position: int) -> bool:
    """Whether logits behind this position say something about the row's prompt."""
    wanted = row.request.params.prompt_logprobs is not None
    return wanted and not row.told and position < row.prompt_tokens - 1

"""Decode passes of a card, recorded and replayed: a launch a pass instead of one a kernel.

A recording (https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/) repeats the same
kernels on the same addresses. So a batch is copied into fixed tensors, filled up to the next
recorded number of rows with rows that read and write the scratch page, and the logits come out of
fixed memory. All recordings share one pool of memory: one runs at a time, in stream order.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.pool import KvPool

_log = logging.getLogger(__name__)
_SMALL = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128)
_STEP = 32
"""Between larger recordings."""
_WARM_UP_PASSES = 2
"""Before recording: kernels are compiled and workspaces made."""


def buckets(max_rows: int) -> list[int]:
    """Numbers of rows that are recorded; the last one holds `max_rows`."""
    sizes = [size for size in _SMALL if size < max_rows]
    sizes += range(_SMALL[-1] + _STEP, max_rows, _STEP)
    return [*sizes, max_rows]


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    batch: StepBatch
    """Kept: its tensors are what the graph reads."""
    logits: torch.Tensor


class DecodeGraphs:
    """Recordings by number of rows, with and without adapters.

    Attributes:
        reason: why nothing is recorded any more; "" while it works.
    """

    def __init__(
        self, compute: Callable[[StepBatch], torch.Tensor], pool: KvPool, positions: int
    ) -> None:
        self._compute = compute
        self._kv = pool
        self._pages = -(-positions // pool.page_size)
        self._sizes: list[int] = []
        self._recorded: dict[tuple[int, bool], _Recording] = {}
        self._inputs: StepBatch | None = None
        self._used = 0
        """Leading rows of `_inputs` that are not padding."""
        self._logits: torch.Tensor | None = None
        self._version = 0
        self._memory: Any = None
        self.reason = "" if ops.records(pool.device) else "no paged kernel on this device"

    @property
    def recorded(self) -> tuple[tuple[int, bool], ...]:
        """(rows, with adapters) of all recordings."""
        return tuple(self._recorded)

    def replay(self, batch: StepBatch, version: int) -> torch.Tensor | None:
        """Logits [R, vocabulary] of a decode pass; None when it must be computed."""
        if self.reason or not self._sizes or batch.rows > self._sizes[-1]:
            return None
        rows = self._sizes[bisect_left(self._sizes, batch.rows)]
        with_adapters = batch.adapters is not None
        if not self.record(rows, with_adapters=with_adapters, version=version):
            return None
        recording = self._recorded[rows, with_adapters]
        self._copy_in(batch)
        recording.graph.replay()
        return recording.logits[: batch.rows]

    def prepare(self, max_rows: int) -> list[int]:
        """Make room for batches of up to `max_rows`; returns the numbers of rows to record."""
        if self.reason:
            return []
        self._sizes = buckets(max_rows)
        self._recorded.clear()
        self._inputs = _padding(max_rows, self._pages, self._kv)
        self._used = 0
        return self._sizes

    def record(self, rows: int, *, with_adapters: bool, version: int) -> bool:
        """Have a recording for exactly `rows` rows; False when that failed.

        Args:
            rows: one of those that `prepare` returned.
            with_adapters: whether tokens may have one.
            version: of the adapters' tensors; those of another version are recorded anew.
        """
        if version != self._version:
            self._version = version
            self._recorded = {key: r for key, r in self._recorded.items() if not key[1]}
        if (rows, with_adapters) in self._recorded:
            return True
        try:
            self._recorded[rows, with_adapters] = self._capture(rows, with_adapters)
        except Exception as e:  # noqa: BLE001 - whatever it is, passes run unrecorded then
            self.reason = (str(e).splitlines() or [type(e).__name__])[0][:200]
            self._recorded.clear()
            _log.warning("decode passes are not recorded: %s", self.reason, exc_info=True)
        return not self.reason

    def _capture(self, rows: int, with_adapters: bool) -> _Recording:
        assert self._inputs is not None
        self._pad_from(0)  # the passes below write: only to the scratch page
        batch = _first_rows(self._inputs, rows, with_adapters=with_adapters)
        stream = torch.cuda.Stream(self._kv.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._kv.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_PASSES):
                logits = self._compute(batch)
        torch.cuda.current_stream(self._kv.device).wait_stream(stream)
        if self._logits is None:
            self._logits = logits.new_empty(self._inputs.rows, logits.shape[1])
        out = self._logits[:rows]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            out.copy_(self._compute(batch))
        self._memory = self._memory or graph.pool()
        return _Recording(graph, batch, out)

    def _copy_in(self, batch: StepBatch) -> None:
        fixed = self._inputs
        assert fixed is not None
        rows, pages = batch.page_table.shape
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

    def _pad_from(self, row: int) -> None:
        """Make padding of all rows from `row` on that are not padding already."""
        fixed, used = self._inputs, self._used
        if fixed is None or row >= used:
            return
        at = slice(row, used)
        torch._foreach_zero_([fixed.input_ids[at], fixed.positions[at], fixed.slots[at]])
        fixed.context_lens[at].fill_(1)
        fixed.page_table[at, 0].zero_()
        if fixed.adapters is not None:
            fixed.adapters[at].zero_()
        self._used = row


def _padding(rows: int, pages: int, pool: KvPool) -> StepBatch:
    """Fixed tensors for `rows` rows that all read and write the scratch page alone."""
    device = pool.device

    def long(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=device)

    return StepBatch(
        input_ids=long(rows),
        positions=long(rows),
        slots=long(rows),
        page_table=torch.zeros(rows, pages, dtype=torch.int32, device=device),
        context_lens=torch.ones(rows, dtype=torch.int32, device=device),
        query_starts=torch.arange(rows + 1, dtype=torch.int32, device=device),
        logits_at=torch.arange(rows, device=device),
        adapters=long(rows),
        max_query=1,
        max_context=pages * pool.page_size,
    )


def _first_rows(batch: StepBatch, rows: int, *, with_adapters: bool) -> StepBatch:
    """The same memory, fewer rows."""
    adapters = batch.adapters[:rows] if with_adapters and batch.adapters is not None else None
    return StepBatch(
        input_ids=batch.input_ids[:rows],
        positions=batch.positions[:rows],
        slots=batch.slots[:rows],
        page_table=batch.page_table[:rows],
        context_lens=batch.context_lens[:rows],
        query_starts=batch.query_starts[: rows + 1],
        logits_at=batch.logits_at[:rows],
        adapters=adapters,
        max_query=1,
        max_context=batch.max_context,
    )

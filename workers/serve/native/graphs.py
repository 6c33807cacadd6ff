"""Passes of a card, recorded once and replayed: a launch a pass instead of a launch a kernel.

A recording (https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/) repeats the same
kernels on the same addresses. So a batch is copied into fixed tensors and filled up to the next
recorded size, and the logits come out of fixed memory. All recordings share one pool of memory: one
runs at a time, in stream order.

Passes that read prompts are recorded as well, up to a number of tokens: launching some ten kernels
a layer takes the host longer than the card needs for a short prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from workers.serve.native import ops
from workers.serve.native.batch import StepBatch
from workers.serve.native.fixed_inputs import FixedInputs, ReadingTokens, WritingRows
from workers.serve.native.pool import KvPool

_log = logging.getLogger(__name__)
_WARM_UP_PASSES = 2
"""Before recording: kernels are compiled and workspaces made."""

Kind = Literal["writing", "reading"]


class Recorded(NamedTuple):
    """Which pass a recording is of."""

    kind: Kind
    size: int
    """Rows of a writing pass, tokens of a reading one."""
    with_adapters: bool


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    batch: StepBatch
    """Kept: its tensors are what the graph reads."""
    logits: torch.Tensor


class PassGraphs:
    """Recordings by kind and size, with and without adapters.

    Attributes:
        reason: why nothing more is recorded, after a failure; what is recorded stays in use.
    """

    def __init__(
        self, compute: Callable[[StepBatch], torch.Tensor], pool: KvPool, positions: int
    ) -> None:
        """Args:
        compute: a pass; the logits of the tokens that are due.
        pool: keys and values.
        positions: tokens that the longest row can have.
        """
        self._compute = compute
        self._kv = pool
        self._positions = positions
        self._inputs: dict[Kind, FixedInputs] = {}
        self._recordings: dict[Recorded, _Recording] = {}
        self._logits: torch.Tensor | None = None
        self._most_logits = 0
        self._version = 0
        self._memory: Any = None
        self.reason = "" if ops.records(pool.device) else "no paged kernel on this device"

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        """All recordings there are."""
        return tuple(self._recordings)

    def prepare(self, max_rows: int, max_tokens: int) -> list[Recorded]:
        """Make room for passes of so many rows and tokens; returns what is worth recording now.

        Largest first, so that the smaller ones find memory in the pool that all share.
        """
        if self.reason:
            return []
        self._recordings.clear()
        self._most_logits = max_rows
        self._inputs = {
            "reading": ReadingTokens(self._kv, max_rows, max_tokens, self._positions),
            "writing": WritingRows(self._kv, max_rows, self._positions),
        }
        return [
            Recorded(kind, size, False)
            for kind, inputs in self._inputs.items()
            for size in reversed(inputs.sizes)
        ]

    def replay(self, batch: StepBatch, version: int) -> torch.Tensor | None:
        """Logits [L, vocabulary] of a pass; None when it must be computed.

        Args:
            batch: any.
            version: of the adapters' tensors.
        """
        if not self._inputs:
            return None
        kind: Kind = "writing" if batch.decodes else "reading"
        size = self._inputs[kind].size_for(batch)
        if size is None:
            return None
        which = Recorded(kind, size, batch.adapters is not None)
        if not self.record(which, version):
            return None
        recording = self._recordings[which]
        self._inputs[kind].fill(batch, size)
        recording.graph.replay()
        return recording.logits[: batch.logits_at.shape[0]]

    def record(self, which: Recorded, version: int) -> bool:
        """Have this recording; False when that failed.

        Args:
            which: as `prepare` returned it, or the same with adapters.
            version: of the adapters' tensors; recordings of another version are made anew.
        """
        if version != self._version:
            self._version = version
            self._recordings = {k: r for k, r in self._recordings.items() if not k.with_adapters}
        if which in self._recordings:
            return True
        if self.reason:
            return False
        try:
            self._recordings[which] = self._capture(which)
        except Exception as e:  # noqa: BLE001 - whatever it is, passes run unrecorded then
            self.reason = (str(e).splitlines() or [type(e).__name__])[0][:200]
            _log.warning("no more passes are recorded: %s", self.reason, exc_info=True)
        return not self.reason

    def _capture(self, which: Recorded) -> _Recording:
        inputs, device = self._inputs[which.kind], self._kv.device
        inputs.clear(which.size)  # the passes below write: only to the scratch page
        batch = inputs.batch(which.size, with_adapters=which.with_adapters)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_PASSES):
                logits = self._compute(batch)
        torch.cuda.current_stream(device).wait_stream(stream)
        if self._logits is None:
            self._logits = logits.new_empty(self._most_logits, logits.shape[1])
        out = self._logits[: len(logits)]
        del logits
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            out.copy_(self._compute(batch))
        self._memory = self._memory or graph.pool()
        return _Recording(graph, batch, out)

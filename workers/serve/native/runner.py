"""One pass through the model: a batch in, logits out."""

from __future__ import annotations

import torch

from workers.serve.engines.base import Progress
from workers.serve.native.adapters import AdapterBank
from workers.serve.native.batch import StepBatch
from workers.serve.native.graphs import PassGraphs
from workers.serve.native.models import Model
from workers.serve.native.pool import KvPool


class Runner:
    """A model over its cache. Not to be called from two threads."""

    def __init__(self, model: Model, pool: KvPool, *, positions: int, graphs: bool = True) -> None:
        """Nothing is computed yet.

        Args:
            model: whose weights are on the device of `pool`.
            pool: keys and values.
            positions: tokens that the longest row can have.
            graphs: record passes of a card and replay them, where that is possible.
        """
        self.model, self.pool = model, pool
        self.adapters = AdapterBank(model)
        self.graphs = PassGraphs(self._compute, pool, positions) if graphs else None

    @torch.no_grad()
    def forward(self, batch: StepBatch) -> torch.Tensor:
        """Logits [L, vocabulary] in the model's dtype, in the order of `batch.logits_at`.

        The tensor of a replayed pass is written again by the next one: use it in stream order.
        """
        if self.graphs is not None:
            logits = self.graphs.replay(batch, self.adapters.version)
            if logits is not None:
                return logits
        return self._compute(batch)

    @torch.no_grad()
    def embed(self, batch: StepBatch) -> torch.Tensor:
        """Means of the last hidden states over each row's new tokens: [R, hidden] float32."""
        hidden = self.model.hidden(batch, self.pool).float()
        counts = batch.query_starts.diff()
        rows = torch.arange(batch.rows, device=batch.device)
        row_of_token = rows.repeat_interleave(counts, output_size=batch.tokens)
        sums = hidden.new_zeros(batch.rows, hidden.shape[1])
        return sums.index_add_(0, row_of_token, hidden) / counts[:, None]

    @torch.no_grad()
    def capture(self, max_rows: int, progress: Progress, *, max_tokens: int = 0) -> None:
        """Record passes, on a card; elsewhere nothing happens.

        What cannot be recorded runs as it is; why stands in `graphs.reason`.

        Args:
            max_rows: of a pass.
            progress: told how far it is.
            max_tokens: of a pass that reads prompts, its writing rows included; 0 records none.
        """
        if self.graphs is None:
            return
        wanted = self.graphs.prepare(max_rows, max_tokens)
        if self.adapters.names:
            wanted = [w._replace(with_adapters=more) for w in wanted for more in (False, True)]
        for number, which in enumerate(wanted):
            progress("warming_up", number / len(wanted), "")
            if not self.graphs.record(which, self.adapters.version):
                return

    def _compute(self, batch: StepBatch) -> torch.Tensor:
        due = self.model.hidden(batch, self.pool, due_only=True)
        adapters = batch.adapters
        if adapters is not None and not batch.decodes:
            adapters = adapters[batch.logits_at]
        return self.model.logits(due, adapters)

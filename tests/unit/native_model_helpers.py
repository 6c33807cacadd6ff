"""Tiny transformers models, packed batches over a small pool, and what transformers itself says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.tiny_models import tiny_config
from workers.serve.native.batch import RowSpan, StepBatch, spans_to_runs
from workers.serve.native.models import take_over
from workers.serve.native.pool import KvPool
from workers.serve.native.runner import Runner

PAGE_TOKENS = 4


def tiny_model(arch: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    """A transformers model of random weights, larger than transformers' own start."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(arch, **changes))
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return model.eval().requires_grad_(False)


@dataclass
class Row:
    """Tokens of one conversation and its pages."""

    pages: list[int]
    seen: list[int] = field(default_factory=list)


class Driver:
    """Feeds rows to a runner as the engine does, with pages in any order."""

    def __init__(
        self,
        model: Any,
        *,
        positions: int = 64,
        on_host: bool = True,
        page_tokens: int = PAGE_TOKENS,
        graphs: bool = False,
    ) -> None:
        self.oracle = model
        native = take_over(model, positions)
        self.device = model.device
        self.pool = KvPool(native.kv_layout, 64, self.device, page_size=page_tokens)
        self.runner = Runner(native, self.pool, positions=positions, graphs=graphs)
        self._on_host = on_host

    def batch(
        self,
        news: Sequence[tuple[Row, list[int]]],
        *,
        all_logits: bool = True,
        adapters: Sequence[int] | None = None,
    ) -> StepBatch:
        """New tokens of some rows; the rows are changed as if the pass had run."""
        size = self.pool.page_size
        ids, positions, slots, ends, spans = [], [], [], [0], []
        for row, new in news:
            start = len(row.seen)
            row.seen += new
            ids += new
            positions += range(start, len(row.seen))
            slots += [row.pages[t // size] * size + t % size for t in range(start, len(row.seen))]
            ends.append(len(ids))
            runs = spans_to_runs(row.pages, len(row.seen), size)
            spans.append(RowSpan(row.pages, start, len(new), runs))
        counts = torch.tensor([len(new) for _, new in news])
        width = max(len(row.pages) for row, _ in news)
        table = [row.pages + [0] * (width - len(row.pages)) for row, _ in news]

        def there(numbers: Any, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.as_tensor(numbers, dtype=dtype, device=self.device)

        whose = None if adapters is None else torch.tensor(adapters).repeat_interleave(counts)
        return StepBatch(
            input_ids=there(ids),
            positions=there(positions),
            slots=there(slots),
            page_table=there(table, torch.int32),
            context_lens=there([len(row.seen) for row, _ in news], torch.int32),
            query_starts=there(ends, torch.int32),
            logits_at=there(range(len(ids)) if all_logits else [end - 1 for end in ends[1:]]),
            adapters=None if whose is None else there(whose),
            max_query=int(counts.max()),
            max_context=max(len(row.seen) for row, _ in news),
            rows_on_host=spans if self._on_host else None,
        )

    def expected(self, row: Row, count: int) -> torch.Tensor:
        """Transformers' logits of the last `count` tokens of a row: [count, vocabulary]."""
        with torch.no_grad():
            seen = torch.tensor([row.seen], device=self.device)
            out: torch.Tensor = self.oracle(seen).logits[0, -count:]
        return out


def tokens(count: int, seed: int = 0) -> list[int]:
    """Random ones of the tiny vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 400, (count,), generator=generator).tolist()

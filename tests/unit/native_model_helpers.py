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

    def __init__(self, model: Any, *, positions: int = 64, on_host: bool = True) -> None:
        self.oracle = model
        native = take_over(model, positions)
        self.pool = KvPool(native.kv_layout, 64, "cpu", page_size=PAGE_TOKENS)
        self.runner = Runner(native, self.pool, positions=positions, graphs=False)
        self._on_host = on_host

    def batch(
        self,
        news: Sequence[tuple[Row, list[int]]],
        *,
        all_logits: bool = True,
        adapters: Sequence[int] | None = None,
    ) -> StepBatch:
        """New tokens of some rows; the rows are changed as if the pass had run."""
        ids, positions, slots, ends, spans = [], [], [], [0], []
        for row, tokens in news:
            start = len(row.seen)
            row.seen += tokens
            ids += tokens
            for at in range(start, len(row.seen)):
                positions.append(at)
                page = row.pages[at // PAGE_TOKENS]
                slots.append(page * PAGE_TOKENS + at % PAGE_TOKENS)
            ends.append(len(ids))
            runs = spans_to_runs(row.pages, len(row.seen), PAGE_TOKENS)
            spans.append(RowSpan(row.pages, start, len(tokens), runs))
        width = max(len(row.pages) for row, _ in news)
        table = [row.pages + [0] * (width - len(row.pages)) for row, _ in news]
        lengths = [len(tokens) for _, tokens in news]
        tokens_of = None if adapters is None else torch.tensor(adapters)
        return StepBatch(
            input_ids=torch.tensor(ids),
            positions=torch.tensor(positions),
            slots=torch.tensor(slots),
            page_table=torch.tensor(table, dtype=torch.int32),
            context_lens=torch.tensor([len(r.seen) for r, _ in news], dtype=torch.int32),
            query_starts=torch.tensor(ends, dtype=torch.int32),
            logits_at=torch.arange(len(ids)) if all_logits else torch.tensor(ends[1:]) - 1,
            adapters=None
            if tokens_of is None
            else tokens_of.repeat_interleave(torch.tensor(lengths)),
            max_query=max(lengths),
            max_context=max(len(row.seen) for row, _ in news),
            rows_on_host=spans if self._on_host else None,
        )

    def expected(self, row: Row, count: int) -> torch.Tensor:
        """Transformers' logits of the last `count` tokens of a row: [count, vocabulary]."""
        with torch.no_grad():
            out: torch.Tensor = self.oracle(torch.tensor([row.seen])).logits[0, -count:]
        return out


def tokens(count: int, seed: int = 0) -> list[int]:
    """Random ones of the tiny vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 400, (count,), generator=generator).tolist()

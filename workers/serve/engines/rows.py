"""Answers in the making, and the lane of those that share an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from workers.serve.engines.base import Request
from workers.serve.engines.sampling import RowSampler
from workers.serve.engines.slot_cache import SlotCache
from workers.serve.native.sampling.grammar import RowGrammar


@dataclass(eq=False)
class Row:
    """One answer in the batch."""

    request: Request
    sampler: RowSampler
    cached: int = 0
    """Tokens of prompt and answer that the cache holds."""
    produced: int = 0
    last_token: int = -1

    @classmethod
    def of(cls, request: Request, grammar: RowGrammar | None = None) -> Row:
        """A row that has not started."""
        return cls(request, RowSampler(request.params, request.prompt, grammar=grammar))

    @property
    def prompt_left(self) -> int:
        """Prompt tokens that the model has not seen yet."""
        return max(0, len(self.request.prompt) - self.cached)

    @property
    def reserved_tokens(self) -> int:
        """The most this row can ever hold."""
        return len(self.request.prompt) + self.request.params.max_new_tokens


@dataclass(eq=False)
class Lane:
    """Rows of one adapter. Decoding rows fill the slots from 0; one half-read prompt follows."""

    adapter: str | None
    cache: SlotCache
    decoding: list[Row] = field(default_factory=list)
    filling: Row | None = None
    pending: list[Row] = field(default_factory=list)
    """Admitted, nothing cached yet."""

    def rows(self) -> Iterator[Row]:
        """All rows."""
        yield from self.decoding
        if self.filling is not None:
            yield self.filling
        yield from self.pending

    @property
    def width_reserved(self) -> int:
        """Tokens that the widest row may reach."""
        return max((r.reserved_tokens for r in self.rows()), default=0)

    def drop(self, row: Row) -> None:
        """Take a row out; the last decoding row takes its slot, the half-read prompt moves up."""
        if row is self.filling:
            self.filling = None
        elif row in self.pending:
            self.pending.remove(row)
        elif row in self.decoding:
            self._close_gap(self.decoding.index(row))

    def drop_all(self) -> None:
        """Take every row out."""
        self.decoding, self.filling, self.pending = [], None, []

    def _close_gap(self, slot: int) -> None:
        last = len(self.decoding) - 1
        if slot != last:
            self.decoding[slot] = self.decoding[last]
            self.cache.move(last, slot, self.decoding[slot].cached)
        self.decoding.pop()
        if self.filling is not None:
            self.cache.move(last + 1, last, self.filling.cached)

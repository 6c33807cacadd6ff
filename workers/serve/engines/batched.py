"""Dynamic batching over any causal model of transformers that can be given ragged rows.

In each step waiting prompts are read (in bites, so that a long one does not freeze the others) and
every running answer gets one token; answers join and leave between steps.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from typing import Any

import torch

from core.config.serve import ServeSpec
from workers.serve.engines import loading, memory
from workers.serve.engines.base import (
    EngineError,
    EngineStats,
    FinishReason,
    Output,
    Request,
    TokenEvent,
    started,
)
from workers.serve.engines.loading import LoadedModel
from workers.serve.engines.rows import Lane, Row
from workers.serve.engines.sampling import choose
from workers.serve.engines.slot_cache import SlotCache, Window
from workers.serve.native.sampling.grammar import RowGrammar

_PREFILL_TOKENS = {"cuda": 1024, "cpu": 256}
_PREFILL_ROWS = 8
_LEAST_TOKENS = 64
"""What a cache on the processor holds at least: there is swap, and a short answer is better than
none."""
PLACES = 16
"""Rows generated together when the spec does not say."""


class BatchedRows:
    """Rows of many answers over `model.forward` with a ragged cache.

    Args:
        spec: of the server.
        loaded: the model.

    Raises:
        AppError: `model.load_failed` for a model whose output is not finite,
            `serve.memory_short`.
    """

    def __init__(self, spec: ServeSpec, loaded: LoadedModel) -> None:
        self._spec = spec
        self._model, self._device = loaded.model, loaded.device
        self._adapters, self._eos = loaded.adapters, loaded.eos_token_ids
        self.places = spec.max_batch_size or PLACES
        self.budget_tokens = self._budget(loaded)
        wanted = spec.max_context_tokens or loaded.max_context_tokens
        self.max_context_tokens = min(wanted, loaded.max_context_tokens, self.budget_tokens)
        self._lanes: dict[str | None, Lane] = {}
        self._waiting: deque[tuple[Request, float, RowGrammar | None]] = deque()
        self._steps = 0
        self._outbox: list[Output] = []
        self.follow_adapters()

    # -- orders ---------------------------------------------------------------------------------

    def follow_adapters(self) -> None:
        """A lane for each adapter that is there now."""
        self._lanes = {
            name: self._lanes.get(name)
            or Lane(name, SlotCache(self.places, self.max_context_tokens))
            for name in self._adapters.names
        }

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._waiting) or self._running() > 0

    def add(self, request: Request, grammar: RowGrammar | None = None) -> None:
        """Queue one answer."""
        self._waiting.append((request, time.monotonic(), grammar))

    @torch.inference_mode()
    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers."""
        self._waiting = deque(w for w in self._waiting if w[0].id not in ids)
        for lane in self._lanes.values():
            for row in [r for r in lane.rows() if r.request.id in ids]:
                lane.drop(row)
        self._free_idle_caches()

    def stats(self) -> EngineStats:
        """State now."""
        lanes = list(self._lanes.values())
        return EngineStats(
            running=self._running(),
            queued=len(self._waiting),
            steps=self._steps,
            cache_tokens=sum(r.cached for lane in lanes for r in lane.decoding),
            cache_capacity_tokens=self.budget_tokens,
            memory_gib=memory.used_gib(self._device),
        )

    def close(self) -> None:
        """Drop everything."""
        self._waiting.clear()
        self._lanes = {}

    def _running(self) -> int:
        return sum(
            len(lane.decoding) + len(lane.pending) + (lane.filling is not None)
            for lane in self._lanes.values()
        )

    def _free_idle_caches(self) -> None:
        if not self.busy:
            for lane in self._lanes.values():
                lane.cache.clear()

    # -- one step -----------------------------------------------------------------------------

    @torch.inference_mode()
    def step(self) -> list[Output]:
        """One pass over every lane."""
        self._outbox = []
        self._admit()
        for lane in self._lanes.values():
            if not (lane.decoding or lane.pending or lane.filling):
                continue
            self._adapters.use(lane.adapter)
            if lane.pending or lane.filling:
                self._prefill(lane)
            if lane.decoding:
                self._decode(lane)
        self._steps += 1
        self._free_idle_caches()
        return self._outbox

    def _admit(self) -> None:
        """Move requests from the queue into lanes while there are slots and memory."""
        while self._waiting and self._running() < self.places:
            request, since, grammar = self._waiting[0]
            row = Row.of(request, grammar)
            if not self._fits(row):
                break
            self._waiting.popleft()
            self._outbox.append((request.id, started((time.monotonic() - since) * 1000)))
            self._lanes[request.adapter].pending.append(row)

    def _fits(self, row: Row) -> bool:
        """Whether the cache can hold all rows at their longest; a lone row always fits."""
        total = 0
        for lane in self._lanes.values():
            count, width = sum(1 for _ in lane.rows()), lane.width_reserved
            if lane.adapter == row.request.adapter:
                count, width = count + 1, max(width, row.reserved_tokens)
            total += count * width
        return total <= self.budget_tokens or self._running() == 0

    def _prefill(self, lane: Lane) -> None:
        """Read one bite of prompts: the half-read one, or as many whole ones as fit."""
        budget = self._spec.prefill_tokens or _PREFILL_TOKENS[self._device.type]
        group = [lane.filling] if lane.filling else self._whole_prompts(lane, budget)
        bites = [min(row.prompt_left, budget) for row in group]
        first = len(lane.decoding)
        logits = self._forward(lane, slice(first, first + len(group)), group, bites)
        for row, bite in zip(group, bites, strict=True):
            row.cached += bite
        # Only now: a pass that failed must find its rows in the lane to end them.
        lane.pending = [row for row in lane.pending if not row.cached]
        lane.filling = None
        if group[0].prompt_left:
            lane.filling = group[0]
            return
        lane.decoding += group
        self._emit(lane, group, logits)

    def _whole_prompts(self, lane: Lane, budget: int) -> list[Row]:
        """The first prompts of `pending` whose padded size stays in the budget; at least one."""
        longest = 0
        for count, row in enumerate(lane.pending[:_PREFILL_ROWS]):
            longest = max(longest, row.prompt_left)
            if count and longest * (count + 1) > budget:
                return lane.pending[:count]
        return lane.pending[:_PREFILL_ROWS]

    def _decode(self, lane: Lane) -> None:
        """One token for every row that has its prompt behind it."""
        rows = list(lane.decoding)
        logits = self._forward(lane, slice(0, len(rows)), rows, [1] * len(rows))
        for row in rows:
            row.cached += 1
        self._emit(lane, rows, logits)

    def _forward(self, lane: Lane, slots: slice, rows: list[Row], bites: list[int]) -> torch.Tensor:
        """Run the model over the next `bites` tokens of each row.

        Returns:
            [rows, vocabulary]: the logits behind each row's last token of this bite.
        """
        longest = max(bites)
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, (row, bite) in enumerate(zip(rows, bites, strict=True)):
            ids[i, :bite] = torch.tensor(_next_tokens(row, bite))
        starts = torch.tensor([row.cached for row in rows])
        positions = (starts[:, None] + torch.arange(longest)).to(self._device)
        width = max(row.cached for row in rows) + longest
        lane.cache.open(Window(slots, positions, width))
        ends, place = torch.unique(torch.tensor(bites) - 1, return_inverse=True)
        output = self._model(
            input_ids=ids.to(self._device),
            position_ids=positions,
            attention_mask=self._mask(positions, width),
            past_key_values=lane.cache,
            use_cache=True,
            logits_to_keep=ends.to(self._device),
        )
        logits: torch.Tensor = output.logits
        return logits[torch.arange(len(rows), device=self._device), place.to(self._device)]

    def _mask(self, positions: torch.Tensor, width: int) -> torch.Tensor:
        """[rows, 1, queries, width]: true where a query may look, at itself and what is before."""
        return (torch.arange(width, device=self._device) <= positions[..., None])[:, None]

    def _emit(self, lane: Lane, rows: list[Row], logits: torch.Tensor) -> None:
        tokens, logprobs = choose(logits, [row.sampler for row in rows])
        for row, token, logprob in zip(rows, tokens, logprobs, strict=True):
            if row.sampler.failure:
                self._outbox.append((row.request.id, EngineError(row.sampler.failure)))
                lane.drop(row)
                continue
            row.last_token = token
            row.produced += 1
            finish, is_stop = self._finish(row, token)
            self._outbox.append((row.request.id, TokenEvent(token, finish, is_stop, logprob)))
            if finish is not None:
                lane.drop(row)

    def _finish(self, row: Row, token: int) -> tuple[FinishReason | None, bool]:
        params = row.request.params
        ended = token in self._eos and (row.sampler.grammar is not None or not params.ignore_eos)
        if ended or token in params.stop_token_ids:
            return "stop", True
        full = row.cached + 1 >= self.max_context_tokens
        return ("length" if full or row.produced >= params.max_new_tokens else None), False

    def _budget(self, loaded: LoadedModel) -> int:
        """Tokens that the caches may hold, all rows together."""
        token_bytes = self._warm_up()
        tokens = memory.cache_budget_tokens(self._device, token_bytes, self._spec.memory_share)
        if self._device.type != "cuda":
            return max(_LEAST_TOKENS, tokens)
        if tokens < _LEAST_TOKENS:
            raise loading.memory_short(self._device, self._spec, loaded.precision)
        return tokens

    def _warm_up(self) -> int:
        """Run two tokens through the model; returns the bytes that the cache holds a token."""
        cache = SlotCache(1, 8)
        positions = torch.arange(2, device=self._device)[None]
        cache.open(Window(slice(0, 1), positions, 2))
        with torch.inference_mode():
            output: Any = self._model(
                input_ids=torch.ones_like(positions),
                position_ids=positions,
                attention_mask=self._mask(positions, 2),
                past_key_values=cache,
                use_cache=True,
            )
        loading.check_logits(output.logits, self._spec.model)
        return cache.token_bytes


def _next_tokens(row: Row, count: int) -> list[int]:
    if row.prompt_left:
        return row.request.prompt[row.cached : row.cached + count]
    return [row.last_token]

"""The first engine: dynamic batching over any causal model of transformers.

A thread runs steps. In each step waiting prompts are read (in bites, so that a long one does not
freeze the others) and every running answer gets one token; answers join and leave between steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from typing import Any

import torch

from core.config.serve import ServeSpec
from workers.serve.engines import loading, memory
from workers.serve.engines.base import (
    EngineError,
    EngineStats,
    FinishReason,
    ModelFacts,
    Progress,
    QueueFull,
    SamplingParams,
    Ticket,
    TokenEvent,
)
from workers.serve.engines.rows import Lane, Row
from workers.serve.engines.sampling import choose
from workers.serve.engines.slot_cache import SlotCache, Window

log = logging.getLogger(__name__)

ENGINE_NAME = "transformers-batched"
_PREFILL_TOKENS = {"cuda": 1024, "cpu": 256}
_PREFILL_ROWS = 8
_FAILURES_TO_DIE = 3

_Delivery = tuple[Ticket, TokenEvent | EngineError]


class BatchedEngine:
    """Engine protocol over `model.forward` with a cache of ragged rows."""

    def __init__(self, spec: ServeSpec) -> None:
        self._spec = spec.model_copy(update={"max_batch_size": spec.max_batch_size or 16})
        self._lanes: dict[str | None, Lane] = {}
        self._waiting: deque[Ticket] = deque()
        self._cancelled: set[Ticket] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._refusing = ""
        self._end_reason = ""
        self._failed = ""
        self._failures_in_a_row = 0
        self._steps = 0
        self._outbox: list[_Delivery] = []

    # -- life ---------------------------------------------------------------------------------

    def load(self, progress: Progress) -> ModelFacts:
        """Read the model in, size the cache, warm up and start the loop."""
        loaded = loading.load_model(self._spec, progress)
        self._model, self._device = loaded.model, loaded.device
        self._adapters = loaded.adapters
        progress("warming_up", None, "")
        token_bytes = self._warm_up()
        self._budget_tokens = memory.cache_budget_tokens(self._device, token_bytes)
        context = min(loaded.max_context_tokens, self._budget_tokens)
        self._lanes = {
            name: Lane(name, SlotCache(self._spec.max_batch_size, context))
            for name in loaded.adapters.names
        }
        self.facts = ModelFacts(
            engine=ENGINE_NAME,
            device=str(self._device),
            dtype=loaded.dtype,
            vocab_size=loaded.vocab_size,
            max_context_tokens=context,
            eos_token_ids=loaded.eos_token_ids,
            adapters=loaded.adapters.names,
        )
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()
        return self.facts

    def unload(self) -> None:
        """Stop the loop and drop the model."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=30.0)
        self._lanes, self._model = {}, None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # -- called by the API --------------------------------------------------------------------

    def submit(self, prompt: list[int], params: SamplingParams, adapter: str | None) -> Ticket:
        """Queue one answer."""
        ticket = Ticket(prompt, params, adapter)
        with self._changed:
            if self._failed or self._refusing:
                raise EngineError(self._failed or self._refusing)
            free = max(0, self._spec.max_batch_size - self._running())
            if len(self._waiting) >= self._spec.queue_limit + free:
                raise QueueFull(len(self._waiting), self._spec.queue_limit)
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Drop an answer; harmless when it is over."""
        with self._changed:
            self._cancelled.add(ticket)
            self._changed.notify()

    def end_all(self, reason: str) -> None:
        """End everything with an error and refuse new requests."""
        with self._changed:
            self._refusing = self._end_reason = reason
            self._changed.notify()

    def stats(self) -> EngineStats:
        """State now."""
        lanes = list(self._lanes.values())
        return EngineStats(
            running=self._running(),
            queued=len(self._waiting),
            steps=self._steps,
            cache_tokens=sum(r.cached for lane in lanes for r in tuple(lane.decoding)),
            cache_capacity_tokens=self._budget_tokens if lanes else 0,
            memory_gib=memory.used_gib(self._device) if lanes else 0.0,
            failed=self._failed,
        )

    # -- the loop -----------------------------------------------------------------------------

    def _running(self) -> int:
        return sum(
            len(lane.decoding) + len(lane.pending) + (lane.filling is not None)
            for lane in self._lanes.values()
        )

    def _idle(self) -> bool:
        return not (self._waiting or self._cancelled or self._end_reason or self._running())

    @torch.inference_mode()
    def _loop(self) -> None:
        while True:
            with self._changed:
                if self._idle():
                    self._free_caches()
                self._changed.wait_for(lambda: self._closing or not self._idle())
                if self._closing:
                    break
            self._guarded_step()
        self._end_rows("the engine was unloaded")
        self._post()

    def _guarded_step(self) -> None:
        try:
            self._take_orders()
            self._step()
            self._failures_in_a_row = 0
        except Exception as e:  # noqa: BLE001 - whatever it was, clients must be told
            self._fail(e)
        self._post()

    def _fail(self, error: Exception) -> None:
        """One bad step costs the answers in flight, not the server; three in a row do."""
        log.error("a step of the engine failed", exc_info=error)
        self._failures_in_a_row += 1
        words = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        self._end_rows(words)
        self._free_caches()
        if self._failures_in_a_row >= _FAILURES_TO_DIE:
            self._failed = words

    def _take_orders(self) -> None:
        with self._changed:
            cancelled, self._cancelled = self._cancelled, set()
            reason, self._end_reason = self._end_reason, ""
            if cancelled:
                self._waiting = deque(t for t in self._waiting if t not in cancelled)
        for lane in self._lanes.values():
            for row in [r for r in lane.rows() if r.ticket in cancelled]:
                lane.drop(row)
        if reason:
            self._end_rows(reason)

    def _end_rows(self, reason: str) -> None:
        with self._changed:
            tickets = list(self._waiting)
            self._waiting.clear()
        for lane in self._lanes.values():
            tickets += [row.ticket for row in lane.rows()]
            lane.drop_all()
        self._outbox += [(t, EngineError(reason)) for t in tickets]

    def _free_caches(self) -> None:
        for lane in self._lanes.values():
            lane.cache.clear()

    def _post(self) -> None:
        """Hand a step's events to their event loops, one call a loop."""
        outbox, self._outbox = self._outbox, []
        by_loop: dict[asyncio.AbstractEventLoop, list[_Delivery]] = {}
        for ticket, item in outbox:
            by_loop.setdefault(ticket.loop, []).append((ticket, item))
        for loop, deliveries in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(_deliver, deliveries)

    # -- one step -----------------------------------------------------------------------------

    def _step(self) -> None:
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

    def _admit(self) -> None:
        """Move requests from the queue into lanes while there are slots and memory."""
        with self._changed:
            while self._waiting and self._running() < self._spec.max_batch_size:
                row = Row.of(self._waiting[0])
                if not self._fits(row):
                    break
                self._waiting.popleft()
                row.ticket.started_at = time.monotonic()
                self._lanes[row.ticket.adapter].pending.append(row)

    def _fits(self, row: Row) -> bool:
        """Whether the cache can hold all rows at their longest; a lone row always fits."""
        total = 0
        for lane in self._lanes.values():
            count, width = sum(1 for _ in lane.rows()), lane.width_reserved
            if lane.adapter == row.ticket.adapter:
                count, width = count + 1, max(width, row.reserved_tokens)
            total += count * width
        return total <= self._budget_tokens or self._running() == 0

    def _prefill(self, lane: Lane) -> None:
        """Read one bite of prompts: the half-read one, or as many whole ones as fit."""
        budget = _PREFILL_TOKENS[self._device.type]
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
            row.last_token = token
            row.produced += 1
            finish, is_stop = self._finish(row, token)
            self._outbox.append((row.ticket, TokenEvent(token, finish, is_stop, logprob)))
            if finish is not None:
                lane.drop(row)

    def _finish(self, row: Row, token: int) -> tuple[FinishReason | None, bool]:
        params = row.ticket.params
        ended = token in self.facts.eos_token_ids and not params.ignore_eos
        if ended or token in params.stop_token_ids:
            return "stop", True
        full = row.cached + 1 >= self.facts.max_context_tokens
        return ("length" if full or row.produced >= params.max_new_tokens else None), False

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
        return row.ticket.prompt[row.cached : row.cached + count]
    return [row.last_token]


def _deliver(deliveries: list[_Delivery]) -> None:
    for ticket, item in deliveries:
        ticket.deliver(item)

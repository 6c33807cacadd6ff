"""The native engine's core: schedule, run, sample, tell; one pass ahead on a card.

On a card a step launches pass N + 1 before the host has read what pass N made: its rows take their
last tokens from the device. Only then are the tokens of pass N read, told and, where an answer must
obey a grammar, turned into the masks of pass N + 1, whose sampling is launched last. A row that
turns out to have ended at N has computed one token for nobody. On a processor there is nothing to
overlap: each step reads its own results.
"""

from __future__ import annotations

import gc
import itertools
import logging
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines import memory as process_memory
from workers.serve.engines.base import (
    NO_TOKEN,
    AdapterChange,
    EngineError,
    EngineStats,
    FinishReason,
    ModelFacts,
    Output,
    Progress,
    Request,
    TokenEvent,
    TokenLogprob,
    started,
)
from workers.serve.native import memory, setup
from workers.serve.native.flight import Flight
from workers.serve.native.gathering import embedding_of, prompt_scores_of, score_prompts
from workers.serve.native.guard import why_refused
from workers.serve.native.pages import PageAllocator, root_digest
from workers.serve.native.rows import Row
from workers.serve.native.scheduler import Plan, Scheduler, Share

log = logging.getLogger(__name__)

ENGINE_NAME = "native"
_FAILURES_TO_RAISE = 3


class NativeCore:
    """`EngineCore` of our own: continuous batching over a paged cache."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._outbox: list[Output] = []
        self._flight: Flight | None = None
        self._steps = 0
        self._failures_in_a_row = 0
        self._roots: dict[str | None, int] = {}
        """Generation of each adapter's weights: another load is another content of the cache."""
        self._generations = itertools.count(1)

    # -- life ---------------------------------------------------------------------------------

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        """Read the model in, size the cache, warm up."""
        with torch.inference_mode():
            self._machine = machine = setup.build(spec, progress)
        self._spec = spec
        self._one_ahead = machine.device.type == "cuda"
        self._revision = _revision(Path(spec.model)), machine.loaded.precision
        self._roots = {name: next(self._generations) for name in machine.adapters}
        self._scheduler = Scheduler(
            PageAllocator(machine.pool.pages, remembers=spec.prefix_cache),
            machine.max_rows,
            machine.prefill_tokens,
            freed=machine.sampler.leave,
        )
        gc.collect()
        gc.freeze()  # a collection in the middle of a step need not look at what stays
        return self._facts()

    def unload(self) -> None:
        """Drop model and cache."""
        self._flight = None
        self._rows.clear()
        self._outbox.clear()
        for name in ("_machine", "_scheduler"):
            if hasattr(self, name):
                delattr(self, name)
        gc.unfreeze()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """Unload and load between two steps; who still uses an unloaded one is finished first."""
        machine = self._machine
        if machine.merged_adapter is not None:
            raise AppError(
                ErrorCode.ADAPTER_UNSUPPORTED,
                path=", ".join(folder for _, folder in change.load),
                reason="another one is merged into the weights",
            )
        while self._flight or any(row.request.adapter in change.unload for row in self._open()):
            self._outbox += self.step()
        with torch.inference_mode():
            self._swap(change)
        self._roots |= {name: next(self._generations) for name, _ in change.load}
        return self._facts()

    def _swap(self, change: AdapterChange) -> None:
        bank, loaded = self._machine.runner.adapters, []
        try:
            for name, folder in change.load:
                bank.load(name, Path(folder))
                loaded.append(name)
        except Exception:
            for name in loaded:
                bank.unload(name)
            raise
        for name in change.unload:
            bank.unload(name)

    # -- requests -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._rows or self._flight or self._outbox)

    def add(self, request: Request) -> None:
        """Queue one answer; what cannot be answered is told at the next step."""
        machine = self._machine
        reason = why_refused(
            request, machine.loaded.vocab_size, machine.context_tokens, machine.adapters
        )
        if request.id in self._rows:
            reason = f"request {request.id} is there already"
        if reason:
            self._outbox.append((request.id, EngineError(reason)))
            return
        limit = min(len(request.prompt) + request.params.max_new_tokens, machine.context_tokens)
        row = Row(request, limit, self._root(request))
        if machine.merged_adapter is None:
            row.adapter_index = machine.runner.adapters.index(request.adapter)
        self._rows[request.id] = row
        self._scheduler.add(row)

    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers; a pass under way is not waited for."""
        for number in ids:
            row = self._rows.pop(number, None)
            if row is not None:
                self._scheduler.finish(row)

    def stats(self) -> EngineStats:
        """State now."""
        scheduler, machine = self._scheduler, self._machine
        return EngineStats(
            running=len(scheduler.running),
            queued=len(scheduler.waiting),
            steps=self._steps,
            cache_tokens=scheduler.pages.held * scheduler.pages.page_size,
            cache_capacity_tokens=machine.pool.capacity_tokens,
            memory_gib=process_memory.used_gib(machine.device),
            peak_memory_gib=memory.peak_gib(machine.device),
            prefix_query_tokens=scheduler.prefix_query_tokens,
            prefix_hit_tokens=scheduler.prefix_hit_tokens,
            preemptions=scheduler.preemptions,
        )

    def _facts(self) -> ModelFacts:
        machine = self._machine
        loaded = machine.loaded
        return ModelFacts(
            engine=ENGINE_NAME,
            device=str(machine.device),
            dtype=loaded.dtype,
            vocab_size=loaded.vocab_size,
            max_context_tokens=machine.context_tokens,
            eos_token_ids=loaded.eos_token_ids,
            adapters=machine.adapters,
            precision=loaded.precision,
            max_batch_size=machine.max_rows,
            cache_tokens=machine.pool.capacity_tokens,
            memory_budget_gib=process_memory.budget_gib(machine.device, self._spec.memory_share)
            + process_memory.used_gib(machine.device),
            features=frozenset({"prompt_logprobs", "embeddings"}),
        )

    def _open(self) -> Iterable[Row]:
        return self._rows.values()

    def _root(self, request: Request) -> bytes:
        generation = self._roots[request.adapter]
        return root_digest(self._revision, request.adapter, generation, request.namespace)

    # -- one step -----------------------------------------------------------------------------

    def step(self) -> list[Output]:
        """Launch a pass and tell what came of it, or of the one before."""
        try:
            with torch.inference_mode():
                self._pass()
            self._failures_in_a_row = 0
        except Exception as e:  # noqa: BLE001 - whatever it was, clients must be told
            self._fail(e)
        outputs, self._outbox = self._outbox, []
        return outputs

    def _pass(self) -> None:
        plan = self._scheduler.plan()
        self._welcome()
        flight = self._launch(plan) if plan else None
        if self._one_ahead:
            landing, self._flight = self._flight, flight
        else:
            landing = flight
            if flight is not None:
                self._choose(flight)
        if landing is not None:
            self._land(landing)
        if self._one_ahead and flight is not None:
            self._choose(flight)
        self._steps += bool(plan)
        if not plan and landing is None:
            time.sleep(0.001)  # everybody waits for something that is made elsewhere

    def _welcome(self) -> None:
        """Rows that left the queue: their place in the sampler, and word of it."""
        entered, self._scheduler.entered = self._scheduler.entered, []
        for row in entered:
            self._outbox.append((row.id, started(_queue_ms(row))))
            if row.writes:
                self._machine.sampler.join(row.slot, row.request.params, row.request.prompt)

    def _launch(self, plan: Plan) -> Flight:
        """Run the model over a plan's tokens; the logits stay where they are."""
        machine, flight = self._machine, Flight(plan)
        if plan.embeds:
            packed = machine.packer.pack(plan.embeds)
            means = machine.runner.embed(packed.batch)
            for share, mean in zip(plan.embeds, means, strict=True):
                flight.parts.append((share, mean * share.count))
        if plan.shares:
            self._packed = machine.packer.pack(plan.shares)
            self._logits = machine.runner.forward(self._packed.batch)
        return flight

    def _choose(self, flight: Flight) -> None:
        """A token for every row that is due, and the way home for all results of the pass."""
        machine = self._machine
        if flight.plan.shares:
            packed, logits = self._packed, self._logits
            flight.scores = score_prompts(packed.scored, logits)
            flight.chosen = [s for s in flight.plan.shares if s.due and s.row.writes]
            if flight.chosen:
                at = packed.sample_at
                sampled = machine.sampler.sample(
                    logits if at is None else logits[at],
                    packed.sample_slots,
                    self._masks(flight.chosen),
                    rows=[share.row.slot for share in flight.chosen],
                )
                machine.packer.last_tokens[packed.sample_slots] = sampled.tokens
                flight.tokens, flight.logprobs = sampled.tokens, sampled.logprobs
            del self._packed, self._logits
        flight.bring_home(machine.device)

    def _masks(self, chosen: list[Share]) -> Any:
        return None

    # -- what came of a pass ------------------------------------------------------------------

    def _land(self, flight: Flight) -> None:
        flight.wait()
        for row, at, scores in flight.scores:
            if at == 0:
                row.gathered.clear()  # it was put back and reads again
            row.gathered.append(scores)
        for share, part in flight.parts:
            if share.start == 0:
                share.row.gathered.clear()
            share.row.gathered.append(part)
        for share, token, logprob in flight.landed_tokens():
            if not share.row.done:
                self._tell_token(share.row, token, logprob)
        for share in flight.plan:
            if share.due and not share.row.writes and not share.row.done:
                self._tell_read(share.row)
        self._scheduler.landed(flight.plan)

    def _tell_token(self, row: Row, token: int, logprob: TokenLogprob | None) -> None:
        self._scheduler.take_token(row, token)
        finish, is_stop = self._finish(row, token)
        if row.told:
            event = TokenEvent(token, finish, is_stop, logprob)
        else:
            event = self._first_event(row, token, finish, is_stop, logprob)
        self._outbox.append((row.id, event))
        if finish is not None:
            self._end(row)

    def _tell_read(self, row: Row) -> None:
        """The only event of a request that wants no tokens."""
        if row.embeds:
            vector = embedding_of(row.gathered, row.prompt_tokens)
            event = TokenEvent(NO_TOKEN, "stop", queue_ms=_queue_ms(row), embedding=vector)
        else:
            event = self._first_event(row, NO_TOKEN, "length")
        self._outbox.append((row.id, event))
        self._end(row)

    def _first_event(
        self,
        row: Row,
        token: int,
        finish: FinishReason | None,
        is_stop: bool = False,
        logprob: TokenLogprob | None = None,
    ) -> TokenEvent:
        row.told = True
        wanted = row.request.params.prompt_logprobs
        scores = None if wanted is None else prompt_scores_of(row.gathered, wanted)
        row.gathered = []
        return TokenEvent(
            token,
            finish,
            is_stop,
            logprob,
            cached_tokens=row.prefix_hit_tokens,
            queue_ms=_queue_ms(row),
            prompt_logprobs=scores,
        )

    def _finish(self, row: Row, token: int) -> tuple[FinishReason | None, bool]:
        params = row.request.params
        ended = token in self._machine.loaded.eos_token_ids and not params.ignore_eos
        if ended or token in params.stop_token_ids:
            return "stop", True
        return ("length" if len(row.tokens) >= row.limit else None), False

    def _end(self, row: Row) -> None:
        self._scheduler.finish(row)
        del self._rows[row.id]

    # -- failures -----------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """A bad step costs the answers that have begun; three in a row, or a lost card, the core.

        Raises:
            Exception: `error`, then.
        """
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_TO_RAISE or self._card_is_lost():
            raise error
        log.error("a step of the engine failed", exc_info=error)
        self._flight = None
        words = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        for row in self._scheduler.reset():
            self._machine.sampler.leave(row.slot)
            self._rows.pop(row.id, None)
            self._outbox.append((row.id, EngineError(words)))
        if self._machine.device.type == "cuda":
            self._machine.pool.clear()
            torch.cuda.empty_cache()

    def _card_is_lost(self) -> bool:
        if self._machine.device.type != "cuda":
            return False
        try:
            torch.cuda.synchronize(self._machine.device)
        except Exception:  # noqa: BLE001 - that is the answer
            return True
        return False


def _queue_ms(row: Row) -> float:
    return ((row.admitted_at or time.monotonic()) - row.arrived_at) * 1000


def _revision(model: Path) -> str:
    """Changes when the weights do: a cache is never asked for another model's content."""
    files = sorted(model.glob("*.safetensors")) if model.is_dir() else [model]
    return repr([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files])

"""The loop: plan, launch, choose, land, tell.

On a card a step launches pass N + 1 before the host has read what pass N made: its rows take their
last tokens from the device. Only then are the tokens of pass N read, told and, where an answer must
obey a grammar, turned into the masks of pass N + 1, whose sampling is launched last. A row that
turns out to have ended at N has computed one token for nobody. On a processor there is nothing to
overlap: each step reads its own results.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import torch

from workers.serve.engines.base import (
    NO_TOKEN,
    EngineError,
    FinishReason,
    Output,
    TokenEvent,
    TokenLogprob,
    started,
)
from workers.serve.native.flight import Flight
from workers.serve.native.gathering import embedding_of, prompt_scores_of, score_prompts
from workers.serve.native.obeying import Obedience
from workers.serve.native.packing import Packed
from workers.serve.native.pages import PageAllocator
from workers.serve.native.plan import Plan
from workers.serve.native.rows import Row
from workers.serve.native.scheduler import Scheduler
from workers.serve.native.setup import Machine

log = logging.getLogger(__name__)

_FAILURES_TO_RAISE = 3
_PASS_SIZES = (256, 512, 1024, 2048)
"""Tokens of a card's passes that read prompts. All but the largest are recorded; in between, a pass
would be padded: at 64 writing rows, 512 prompt tokens beside them cost as much as 768."""
_IDLE_S = 0.001
"""Rest of a step in which everybody waits for something made elsewhere (a grammar)."""


class Loop:
    """All rows of an engine, and the passes that serve them.

    Args:
        machine: what runs a pass.
        prefix_cache: whether beginnings of prompts are remembered.
        obedience: grammars of rows.
        one_ahead: launch a pass before the results of the one before are read.
    """

    def __init__(
        self, machine: Machine, obedience: Obedience, *, prefix_cache: bool, one_ahead: bool
    ) -> None:
        self._machine, self._obedience, self._one_ahead = machine, obedience, one_ahead
        self.scheduler = Scheduler(
            PageAllocator(machine.pool.pages, remembers=prefix_cache),
            machine.max_rows,
            machine.prefill_tokens,
            is_ready=obedience.is_ready,
            freed=machine.sampler.leave,
            in_one_piece=machine.device.type == "cpu",
            pass_sizes=_PASS_SIZES if machine.device.type == "cuda" else (),
        )
        self.rows: dict[int, Row] = {}
        """By request, until its last event is out."""
        self.steps = 0
        self._outbox: list[Output] = []
        self._flight: Flight | None = None
        self._failures_in_a_row = 0

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self.rows or self._flight or self._outbox)

    @property
    def airborne(self) -> bool:
        """Whether a pass is under way between two steps."""
        return self._flight is not None

    def add(self, row: Row) -> None:
        """Let a new row wait for its turn."""
        self.rows[row.id] = row
        self._obedience.begin(row)
        self.scheduler.add(row)

    def say(self, outputs: Iterable[Output]) -> None:
        """Put something out with the next step."""
        self._outbox += outputs

    def drop(self, number: int) -> None:
        """Forget a row, if there is one; a pass under way is not waited for."""
        row = self.rows.pop(number, None)
        if row is not None:
            self.scheduler.finish(row)

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
        self._end_all(self._obedience.settle())
        plan = self.scheduler.plan()
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
        self.steps += bool(plan)
        if not plan and landing is None:
            time.sleep(_IDLE_S)

    def _welcome(self) -> None:
        """Rows that left the queue: their place in the sampler, and word of it."""
        entered, self.scheduler.entered = self.scheduler.entered, []
        for row in entered:
            self._outbox.append((row.id, started(_queue_ms(row))))
            if row.writes:
                self._machine.sampler.join(row.slot, row.request.params, row.request.prompt)

    def _launch(self, plan: Plan) -> Flight:
        """Run the model over a plan's tokens; the logits stay where they are."""
        machine, flight = self._machine, Flight(plan)
        for sources, targets in self.scheduler.copies:
            machine.pool.copy(sources, targets)
        self.scheduler.copies.clear()
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
                self._sample(flight, packed, logits)
            del self._packed, self._logits
        flight.bring_home(machine.device)

    def _sample(self, flight: Flight, packed: Packed, logits: torch.Tensor) -> None:
        masks, failed = self._obedience.masks(flight.chosen)
        self._end_all(failed)
        sampled = self._machine.sampler.sample(
            logits if packed.sample_at is None else logits[packed.sample_at],
            packed.sample_slots,
            masks,
            rows=[share.row.slot for share in flight.chosen],
        )
        self._machine.packer.last_tokens[packed.sample_slots] = sampled.tokens
        flight.tokens, flight.logprobs = sampled.tokens, sampled.logprobs

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
        self.scheduler.landed(flight.plan)

    def _tell_token(self, row: Row, token: int, logprob: TokenLogprob | None) -> None:
        self.scheduler.take_token(row, token)
        finish, is_stop = self._finish(row, token)
        if row.told:
            event = TokenEvent(token, finish, is_stop, logprob)
        else:
            event = self._first_event(row, token, finish, is_stop, logprob)
        self._outbox.append((row.id, event))
        if finish is not None:
            self._end(row)
        elif row.grammar is not None:
            self._obey(row, token)

    def _obey(self, row: Row, token: int) -> None:
        try:
            row.grammar.accept(token)
        except ValueError as e:  # a mask forbids it, so this is a fault, but only this row's
            self._end_all([(row, e)])

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
        # Behind a complete form nothing but an end may come.
        heeded = row.grammar is not None or not params.ignore_eos
        ended = heeded and token in self._machine.loaded.eos_token_ids
        if ended or token in params.stop_token_ids:
            return "stop", True
        return ("length" if len(row.tokens) >= row.limit else None), False

    def _end(self, row: Row) -> None:
        self.scheduler.finish(row)
        self.rows.pop(row.id, None)

    def _end_all(self, failed: Iterable[tuple[Row, Exception]]) -> None:
        for row, error in failed:
            self._outbox.append((row.id, EngineError(str(error))))
            self._end(row)

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
        for row in self.scheduler.reset():
            self._machine.sampler.leave(row.slot)
            self.rows.pop(row.id, None)
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

"""What this machine can hold, measured in about twenty seconds with made-up requests.

They go to the engine as users' requests do, but past the account: no figure of the user's, no
event of a request, no key's limit knows of them. The first request of a user ends the test.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from core.planning.serve_memory import ServePrecision
from core.planning.serving import Workload, card_speed, estimate_serving
from core.planning.shapes import shape_of_folder
from core.protocol.commands import SelfTestCommand
from core.protocol.events import ServeSelfTest
from workers.serve.engines.base import EngineError, QueueFull, SamplingParams, Ticket
from workers.serve.http.errors import ApiError
from workers.serve.http.state import ServerState

NAMESPACE = "self-test"
_WATCH_S = 0.05
_LONE_SHARE = 0.2
_BURST_SHARE = 0.2
_PATIENCE_SHARE = 0.6
"""Of the time, for the first answer: a model that needs longer holds no rate at all."""
_RATES = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2)
"""Of the rate that a burst reached."""
BURST = "burst"
"""`detail` of the round that asks all at once."""
_LEAST_S = 1.5
"""For one rate."""
_MOST_BURST = 64
_SHORT_RAM = 0.03
_OVER_BUDGET = 0.08


class _GiveWay(Exception):
    """Something more important than a test came; says what."""


@dataclass(frozen=True)
class _Answer:
    ttft_s: float
    total_s: float
    tokens: int


@dataclass
class _Round:
    """What one rate gave."""

    rate: float = 0.0
    answers: list[_Answer] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    """Not done when the time was over."""
    took_s: float = 0.0

    def times(self, what: Callable[[_Answer], float]) -> list[float]:
        return sorted(what(a) for a in self.answers)

    @property
    def tokens_per_second(self) -> float:
        return sum(a.tokens for a in self.answers) / max(1e-9, self.took_s)

    def held(self, target_s: float) -> bool:
        """Whether the slowest of a hundred was in time, and nobody was left over."""
        p99 = _rank(self.times(lambda a: a.total_s), 0.99)
        return p99 is not None and p99 <= target_s and not self.refused and not self.late


class SelfTest:
    """One test of a server that is ready.

    Args:
        state: of the server.
        emit: where `ServeSelfTest` events go.
        seed: of the prompts and the arrivals; None takes another each time.
    """

    def __init__(
        self, state: ServerState, emit: Callable[[ServeSelfTest], None], seed: int | None = None
    ) -> None:
        self._state, self._emit = state, emit
        self._random = random.Random(seed)
        self._memory_share: float | None = None

    async def run(self, command: SelfTestCommand) -> None:
        """Measure, and say what was found; never raises for what goes wrong in it."""
        self._command = command
        self._began = time.monotonic()
        self._one_stream: float | None = None
        self._sustained: _Round | None = None
        try:
            self._loaded = self._state.require_ready()
            self._seen = self._state.calls_seen
            if self._state.open_calls:
                raise _GiveWay("requests are open")
            await self._interruptible(self._measure())
        except (_GiveWay, ApiError, EngineError, QueueFull) as e:
            self._say(_Round(), "failed", detail=str(e))

    # -- the course -----------------------------------------------------------------------------

    async def _measure(self) -> None:
        seconds = self._command.seconds
        try:
            async with asyncio.timeout(seconds * _PATIENCE_SHARE):
                lone = await self._lone(seconds * _LONE_SHARE)
        except TimeoutError:
            self._say(_Round(), "done", sustained_qps=0.0, detail="one answer takes too long")
            return
        self._say(lone)
        burst = await self._burst(seconds * _BURST_SHARE)
        burst.rate = round(len(burst.answers) / max(1e-9, burst.took_s), 3)
        self._say(burst, detail=BURST)
        await self._climb(burst.rate)
        self._say_verdict(lone, burst)

    async def _lone(self, most_s: float) -> _Round:
        """One answer after another: the speed that a single user sees."""
        found = _Round()
        begin = time.monotonic()
        while not found.answers or time.monotonic() - begin < most_s / 2:
            found.answers.append(await self._ask())
        found.took_s = time.monotonic() - begin
        speeds = [
            (a.tokens - 1) / (a.total_s - a.ttft_s) for a in found.answers if a.total_s > a.ttft_s
        ]
        self._one_stream = round(_rank(sorted(speeds), 0.5) or 0.0, 2) or None
        return found

    async def _burst(self, most_s: float) -> _Round:
        """As many as it takes together, at once: about how many a second it could finish."""
        count = max(2, min(_MOST_BURST, self._loaded.facts.max_batch_size))
        return await self._round(iter([0.0] * count), max(_LEAST_S, most_s))

    async def _climb(self, reached: float) -> None:
        """Rising rates until one does not hold; then between the last two, while there is time."""
        held, failed = 0.0, 0.0
        target_s = self._command.target_p99_ms / 1000
        tail = 1.5 * target_s
        """For the last ones that come: who is late has missed the target anyway."""
        rates = [share * reached for share in _RATES]
        while (left := self._left_s()) >= _LEAST_S and reached > 0:
            rate = (held + failed) / 2 if failed else (rates.pop(0) if rates else held * 1.3)
            slot = max(_LEAST_S, left / max(2, len(rates))) if not failed else _LEAST_S * 1.5
            span = slot * 0.7
            found = await self._round(self._arrivals(rate, span), max(slot, span + tail), rate)
            self._say(found)
            if found.held(target_s):
                held, self._sustained = rate, found
            else:
                failed = rate
            if failed and failed - held < 0.05 * failed:
                return

    async def _round(self, delays: Iterator[float], most_s: float, rate: float = 0.0) -> _Round:
        """Requests after delays; what is not done after `most_s` is ended and counted as late."""
        found = _Round(rate=round(rate, 3))
        begin = time.monotonic()
        asked: list[asyncio.Task[_Answer]] = []
        try:
            async with asyncio.timeout(most_s):
                for delay in delays:
                    await asyncio.sleep(delay)
                    asked.append(asyncio.create_task(self._ask()))
                await asyncio.gather(*asked, return_exceptions=True)
        except TimeoutError:
            pass
        finally:
            found.took_s = time.monotonic() - begin
            for task in asked:
                task.cancel()
            results = await asyncio.gather(*asked, return_exceptions=True)
        for result in results:
            if isinstance(result, _Answer):
                found.answers.append(result)
            elif isinstance(result, QueueFull):
                found.refused += 1
            elif isinstance(result, asyncio.CancelledError):
                found.late += 1
            else:
                raise result
        return found

    def _arrivals(self, rate: float, span_s: float) -> Iterator[float]:
        """Gaps of a Poisson process: requests that know nothing of each other."""
        passed = 0.0
        while (gap := self._random.expovariate(rate)) + passed < span_s or passed == 0.0:
            passed += gap
            yield min(gap, span_s)

    async def _ask(self) -> _Answer:
        """One made-up request through the engine."""
        facts, engine = self._loaded.facts, self._loaded.engine
        room = facts.max_context_tokens
        wanted = min(self._command.answer_tokens, max(1, room // 2))
        length = max(1, min(self._command.prompt_tokens, room - wanted - 1))
        prompt = [self._random.randrange(facts.vocab_size) for _ in range(length)]
        params = SamplingParams(max_new_tokens=wanted, temperature=0.0, ignore_eos=True)
        begin = time.monotonic()
        ticket = engine.submit(prompt, params, facts.adapters[0], namespace=NAMESPACE)
        try:
            return await _answer(ticket, begin)
        finally:
            engine.cancel(ticket)

    # -- giving way -----------------------------------------------------------------------------

    async def _interruptible(self, work: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
            (watching if watching.done() else doing).result()
        finally:
            for task in (doing, watching):
                task.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def _watch(self) -> None:
        """Ends with the reason to give way."""
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._state.calls_seen != self._seen:
                raise _GiveWay("a request came")
            if self._state.phase != "ready":
                raise _GiveWay(self._state.reason or self._state.phase)
            if failed := self._state.engine_stats().failed:
                raise _GiveWay(failed)
            if self._memory_short():
                raise _GiveWay("the memory is short")

    def _memory_short(self) -> bool:
        use = self._state.card.use
        if use is not None:
            self._memory_share = max(self._memory_share or 0.0, use.share)
            return use.share > min(0.98, self._state.spec.memory_share + _OVER_BUDGET)
        memory = psutil.virtual_memory()
        return memory.available < _SHORT_RAM * memory.total

    # -- words ----------------------------------------------------------------------------------

    def _left_s(self) -> float:
        return self._command.seconds - (time.monotonic() - self._began)

    def _say(self, found: _Round, phase: str = "running", **more: Any) -> None:
        firsts, totals = found.times(lambda a: a.ttft_s), found.times(lambda a: a.total_s)
        done = 1.0 if phase == "done" else 1 - max(0.0, self._left_s()) / self._command.seconds
        values: dict[str, Any] = {
            "phase": phase,
            "fraction": round(min(1.0, done), 3),
            "prompt_tokens": self._command.prompt_tokens,
            "answer_tokens": self._command.answer_tokens,
            "rate_qps": found.rate,
            "completed": len(found.answers),
            "refused": found.refused + found.late,
            "ttft_p50_ms": _ms(_rank(firsts, 0.5)),
            "ttft_p99_ms": _ms(_rank(firsts, 0.99)),
            "latency_p50_ms": _ms(_rank(totals, 0.5)),
            "latency_p99_ms": _ms(_rank(totals, 0.99)),
            "tokens_per_second": round(found.tokens_per_second, 2) if found.took_s else 0.0,
            "one_stream_tokens_per_second": self._one_stream,
            "memory_share": self._memory_share,
        }
        self._emit(ServeSelfTest(**{**values, **more}))

    def _say_verdict(self, lone: _Round, burst: _Round) -> None:
        best = self._sustained
        self._say(
            best or lone,
            "done",
            sustained_qps=best.rate if best else 0.0,
            physics_qps=self._physics_qps(),
            tokens_per_second=round(max(burst.tokens_per_second, lone.tokens_per_second), 2),
        )

    def _physics_qps(self) -> float | None:
        """What the card's data sheet would allow; None where it is not known."""
        use, precision = self._state.card.use, self._loaded.facts.precision
        speed = card_speed(use.name) if use else None
        shape = shape_of_folder(Path(self._state.spec.model))
        if use is None or speed is None or shape is None or not precision:
            return None
        command = self._command
        load = Workload(command.prompt_tokens, command.answer_tokens, command.target_p99_ms / 1000)
        found = estimate_serving(
            shape,
            cast(ServePrecision, precision),
            speed,
            load,
            memory_gib=use.total_gib,
            memory_share=self._state.spec.memory_share,
        )
        return round(found.sustained_qps, 2)


async def _answer(ticket: Ticket, begin: float) -> _Answer:
    first: float | None = None
    tokens = 0
    while events := await ticket.next_events():
        first = first or time.monotonic()
        tokens += sum(e.token >= 0 for e in events)
    now = time.monotonic()
    return _Answer((first or now) - begin, now - begin, tokens)


def _rank(ordered: list[float], share: float) -> float | None:
    """Nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)

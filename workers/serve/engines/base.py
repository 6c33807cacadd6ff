"""What the API asks of an engine: token lists in, token events out, nothing about text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from core.config.serve import ServeSpec

FinishReason = Literal["stop", "length"]
Feature = Literal["grammar", "schema", "prompt_logprobs", "embeddings"]
"""What not every engine can do; the API refuses with 400 what is not in `ModelFacts.features`.
`schema`: of all grammars only JSON objects and schemas, from the first token on."""
Progress = Callable[[str, float | None, str], None]
"""Called with a phase of `run.phase`, its fraction (0 to 1, or None) and a detail."""


@dataclass(frozen=True)
class SamplingParams:
    """How one answer is made. Checked by the guard before an engine sees it."""

    max_new_tokens: int
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all."""
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: str | None = None
    """Equal seeds give equal answers, whoever else is served meanwhile."""
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    logprobs: int | None = None
    """How many alternatives to report a token; 0 reports the chosen one only."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: str | None = None
    """What the answer must obey: a JSON schema as text, or "json_object"."""
    prompt_logprobs: int | None = None
    """As `logprobs`, of the prompt's own tokens; `max_new_tokens` may then be 0."""
    embed: bool = False
    """No answer: the mean of the last hidden states over the prompt, unit length."""

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return self.temperature == 0.0

    @property
    def filtered(self) -> bool:
        """Whether improbable tokens are cut off before one is drawn."""
        return self.top_p < 1.0 or self.top_k > 0 or self.min_p > 0.0

    @property
    def penalized(self) -> bool:
        """Whether the logits depend on the tokens so far."""
        return (
            self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
            or self.repetition_penalty != 1.0
        )


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithms of the model's own probabilities, before temperature and penalties."""

    chosen: float
    top: tuple[tuple[int, float], ...] = ()
    """The most probable tokens, best first."""


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token. The last one of an answer says why it ended."""

    token: int
    finish: FinishReason | None = None
    is_stop_token: bool = False
    """An end token: counted in the usage, never part of the text."""
    logprob: TokenLogprob | None = None
    text: str | None = None
    """What it adds to the answer, from engines that make the text themselves; else None."""
    cached_tokens: int = 0
    """On an answer's first event: prompt tokens that the prefix cache already knew."""
    queue_ms: float | None = None
    """On an answer's first event: how long it waited for its turn."""
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    """On the first event, when asked for: one a prompt token, None for the very first."""
    embedding: tuple[float, ...] | None = None
    """The only event of an `embed` request has it; its `token` is -1."""


NO_TOKEN = -1
"""`TokenEvent.token` of an event that carries no token (an embedding, `max_new_tokens` 0)."""


def started(queue_ms: float) -> TokenEvent:
    """What a core puts out when a request leaves the queue, before its first token.

    A `Ticket` keeps it to itself: the API sees `Ticket.started_at` set.
    """
    return TokenEvent(NO_TOKEN, queue_ms=queue_ms)


def is_start(event: TokenEvent) -> bool:
    """Whether it is one of `started`."""
    return event.token == NO_TOKEN and event.finish is None


class EngineError(Exception):
    """The engine ended an answer before it was finished: a failure, or the server is stopping."""


class QueueFull(Exception):
    """No room to wait; come back later."""

    def __init__(self, queued: int, limit: int) -> None:
        self.queued, self.limit = queued, limit
        super().__init__(f"{queued} requests are waiting already, the limit is {limit}")


@dataclass(frozen=True)
class ModelFacts:
    """What the API must know of a loaded model."""

    engine: str
    device: str
    dtype: str
    vocab_size: int
    max_context_tokens: int
    """What fits the model's positions and this machine's memory."""
    eos_token_ids: frozenset[int]
    adapters: tuple[str | None, ...]
    """What `submit` accepts: None is the base model."""
    precision: str = ""
    """As in the spec, chosen: fp32, bf16, fp16, 8bit, 4bit."""
    max_batch_size: int = 16
    """Requests generated together."""
    cache_tokens: int = 0
    """Tokens that the key-value cache can hold."""
    memory_budget_gib: float = 0.0
    """What the engine may take of the card, or of main memory."""
    features: frozenset[Feature] = frozenset()
    """Empty for an engine that can only write on."""


@dataclass(frozen=True)
class EngineStats:
    """State of the engine now."""

    running: int = 0
    queued: int = 0
    steps: int = 0
    cache_tokens: int = 0
    """Tokens that the key-value cache holds."""
    cache_capacity_tokens: int = 0
    memory_gib: float = 0.0
    peak_memory_gib: float = 0.0
    prefix_query_tokens: int = 0
    """Prompt tokens that were looked up in the prefix cache, since the start."""
    prefix_hit_tokens: int = 0
    """Of these, the ones that were known."""
    preemptions: int = 0
    """Answers that were put back because the cache ran dry, since the start."""
    failed: str = ""
    """Why the engine is dead; empty while it lives."""


class Ticket:
    """One answer in the making, as the API sees it. Belongs to one event loop."""

    def __init__(self, prompt: list[int], params: SamplingParams, adapter: str | None) -> None:
        self.prompt = prompt
        self.params = params
        self.adapter = adapter
        self.submitted_at = time.monotonic()
        self.started_at: float | None = None
        """`time.monotonic()` when it left the queue."""
        self._events: list[TokenEvent] = []
        self._error: EngineError | None = None
        self._finished = False
        self._wake = asyncio.Event()
        self._over: asyncio.Future[None] | None = None

    @property
    def has_news(self) -> bool:
        """Whether `next_events` returns at once."""
        return bool(self._events) or self._finished

    @property
    def finished(self) -> bool:
        """Whether the last event has come."""
        return self._finished

    def deliver(self, item: TokenEvent | EngineError) -> None:
        """Take an event in. Called on the event loop only."""
        if self._finished:
            return
        if isinstance(item, EngineError):
            self._error, self._finished = item, True
            self._wake_up()
            return
        if self.started_at is None:
            waited_s = None if item.queue_ms is None else item.queue_ms / 1000
            now = time.monotonic()
            self.started_at = now if waited_s is None else min(now, self.submitted_at + waited_s)
        if not is_start(item):
            self._events.append(item)
            self._finished = item.finish is not None
            self._wake_up()

    async def gather(self, seconds: float) -> None:
        """Let events come together: returns after so long, or as soon as the answer is over."""
        if self._finished or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        self._over = over = loop.create_future()
        timer = loop.call_later(seconds, _settle, over)
        try:
            await over
        finally:
            timer.cancel()
            self._over = None

    async def next_events_ready(self) -> None:
        """Wait until there is something for `next_events` to return."""
        while not (self._events or self._finished):
            self._wake.clear()
            await self._wake.wait()

    async def next_events(self) -> list[TokenEvent]:
        """All events since the last call, at least one; empty when the answer is over.

        Raises:
            EngineError: the engine ended the answer.
        """
        await self.next_events_ready()
        if not self._events and self._error is not None:
            raise self._error
        events, self._events = self._events, []
        return events

    def _wake_up(self) -> None:
        self._wake.set()
        if self._finished and self._over is not None:
            _settle(self._over)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True)
class AdapterChange:
    """What `change_adapters` does; names are the engine's (short) ones."""

    load: tuple[tuple[str, str], ...] = ()
    """(name, folder)."""
    unload: tuple[str, ...] = ()


@runtime_checkable
class Engine(Protocol):
    """Makes tokens for many answers at once. All calls come from one event loop."""

    async def load(self, progress: Progress) -> ModelFacts:
        """Read the model in and be ready.

        Raises:
            AppError: `model.*`, `adapter.*`, `serve.*`.
        """

    def submit(
        self, prompt: list[int], params: SamplingParams, adapter: str | None, namespace: str = ""
    ) -> Ticket:
        """Queue one answer. Prefixes are shared within a namespace only.

        Raises:
            QueueFull: too many, or too long ones, wait already.
            EngineError: the engine is dead, being restarted or stopping; or the adapter is gone.
        """

    def cancel(self, ticket: Ticket) -> None:
        """Stop an answer that nobody waits for; its place is free within two steps."""

    def stats(self) -> EngineStats:
        """State now; cheap."""

    async def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """Load and unload while others are served. An unloaded one takes no new requests, and its
        open ones are finished first.

        Raises:
            AppError: `adapter.*`, `serve.engine_failed`, `serve.engine_unavailable`; then nothing
                has changed.
        """

    async def drain(self, limit_s: float) -> None:
        """Wait until no answer is open, at most so long."""

    def end_all(self, reason: str) -> None:
        """End all answers, running and waiting, with an `EngineError`; refuse new ones."""

    async def unload(self) -> None:
        """Give everything back; nothing is left running."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answer as the engine's process knows it."""

    id: int
    prompt: list[int]
    params: SamplingParams
    adapter: str | None = None
    namespace: str = ""
    """Prefixes are shared within it only: one a key, so that timing tells nothing across keys."""


Output = tuple[int, TokenEvent | EngineError]
"""Id of the request, and what happened to it."""


@runtime_checkable
class EngineCore(Protocol):
    """What runs in the engine's process: one thread, no event loop, no text."""

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        """Read the model in, size the cache, warm up. Blocks.

        Adapters are those of `workers.serve.names.adapter_names(spec)`, under its short names.

        Raises:
            AppError: `model.*`, `adapter.*`, `serve.memory_short`.
        """

    def add(self, request: Request) -> None:
        """Queue one answer; never blocks."""

    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers; their places are free within two steps. Unknown ids are harmless."""

    def step(self) -> list[Output]:
        """One pass; returns what is ready, of this pass or of the one before.

        A request that leaves the queue is told with `started`, so that nobody takes a long prompt
        for a long wait. After an exception the caller cancels all open requests.
        """

    def stats(self) -> EngineStats:
        """State now; cheap."""

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """Load and unload between two steps; an unloaded one has no open answers any more.

        Raises:
            AppError: `adapter.*`; then nothing has changed.
        """

    def unload(self) -> None:
        """Give memory back."""

"""One request's choices: submitted together, merged into one stream, always given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from workers.serve.engines.base import EngineError, QueueFull, SamplingParams, Ticket, TokenEvent
from workers.serve.http.errors import ApiError, unavailable
from workers.serve.http.guard import check_prompt, sampling_params
from workers.serve.http.schemas import ChatRequest, Sampling
from workers.serve.http.state import Call, Loaded, ServerState
from workers.serve.text.answer import Answer, Delta
from workers.serve.text.prompts import Prompt
from workers.serve.text.reasoning import ReasoningSplitter

MAX_ROWS = 128


@dataclass
class Choice:
    """One answer of a request."""

    index: int
    ticket: Ticket
    answer: Answer
    last_at: float = 0.0


class Generation:
    """The choices of one request; `close` gives their slots back, whatever happened.

    Raises on making:
        ApiError: 400 for what the guard refuses, 503 for a full queue.
    """

    def __init__(
        self,
        state: ServerState,
        loaded: Loaded,
        call: Call,
        request: Sampling,
        prompts: Sequence[Prompt],
        adapter: str | None,
    ) -> None:
        self._state, self._loaded, self._call = state, loaded, call
        self._request = request
        self.choices: list[Choice] = []
        per_prompt = request.n or 1
        if per_prompt * len(prompts) > MAX_ROWS:
            raise ApiError(400, f"at most {MAX_ROWS} answers a request", param="n")
        planned = [(p, self._params(p)) for p in prompts]
        call.prompt_tokens = sum(len(p.tokens) for p in prompts)
        try:
            for prompt, params in planned:
                for i in range(per_prompt):
                    self._submit(prompt, params, i, adapter)
        except QueueFull as e:
            self.close()
            raise unavailable(str(e), "queue_full") from e
        except EngineError as e:
            self.close()
            raise unavailable(str(e), "engine_unavailable") from e

    @property
    def completion_tokens(self) -> int:
        """Of all choices so far."""
        return sum(c.answer.completion_tokens for c in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        """Of all choices so far."""
        return sum(c.answer.reasoning_tokens for c in self.choices)

    @property
    def finish_reason(self) -> str | None:
        """The first choice's."""
        return self.choices[0].answer.finish if self.choices else None

    async def deltas(self) -> AsyncGenerator[tuple[Choice, Delta]]:
        """New pieces of any choice, until all are finished.

        Raises:
            ApiError: 503 when the wait, the request or the engine came to its end.
        """
        queue: asyncio.Queue[tuple[Choice, Delta] | BaseException | None] = asyncio.Queue()
        pumps = [asyncio.create_task(self._pump(c, queue)) for c in self.choices]
        left = len(pumps)
        try:
            while left:
                item = await queue.get()
                if item is None:
                    left -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def close(self) -> None:
        """Cancel what is not finished."""
        for choice in self.choices:
            if choice.answer.finish is None:
                self._loaded.engine.cancel(choice.ticket)
        self._call.completion_tokens = self.completion_tokens

    def _params(self, prompt: Prompt) -> SamplingParams:
        check_prompt(prompt.tokens, self._loaded.facts)
        return sampling_params(
            self._request,
            self._state.spec,
            self._loaded.facts,
            len(prompt.tokens),
            self._loaded.prompter.sampling_defaults,
        )

    def _submit(
        self, prompt: Prompt, params: SamplingParams, number: int, adapter: str | None
    ) -> None:
        if params.seed is not None and number:  # each choice of n its own stream
            params = replace(params, seed=f"{params.seed}:{number}")
        splitter = None
        if isinstance(self._request, ChatRequest) and self._request.include_reasoning:
            splitter = ReasoningSplitter(thinking=prompt.in_thought)
        answer = Answer(self._loaded.prompter.decode, self._request.stops, splitter)
        ticket = self._loaded.engine.submit(prompt.tokens, params, adapter)
        self.choices.append(Choice(len(self.choices), ticket, answer))

    async def _pump(
        self, choice: Choice, queue: asyncio.Queue[tuple[Choice, Delta] | BaseException | None]
    ) -> None:
        try:
            while choice.answer.finish is None:
                delta = await self._next(choice)
                if not delta.empty:
                    queue.put_nowait((choice, delta))
            queue.put_nowait(None)
        except EngineError as e:
            queue.put_nowait(unavailable(str(e), "engine_error"))
        except ApiError as e:
            queue.put_nowait(e)

    async def _next(self, choice: Choice) -> Delta:
        events = await self._wait(choice.ticket)
        now = time.monotonic()
        self._call.first_token()
        self._state.metrics.tokens(len(events), now - choice.last_at if choice.last_at else None)
        choice.last_at = now
        delta = choice.answer.add(events)
        if delta.finish is not None and events[-1].finish is None:
            self._loaded.engine.cancel(choice.ticket)  # a stop string: the engine does not know
        return delta

    async def _wait(self, ticket: Ticket) -> list[TokenEvent]:
        spec = self._state.spec
        left = spec.request_timeout_s - self._call.age_s
        if ticket.started_at is None:
            left = min(left, spec.queue_timeout_s - self._call.age_s)
        try:
            events = await asyncio.wait_for(ticket.next_events(), max(0.0, left))
        except TimeoutError as e:
            if ticket.started_at is not None and self._call.age_s < spec.request_timeout_s:
                return await self._wait(ticket)  # its turn came while it waited
            waited = "in the queue" if ticket.started_at is None else "in all"
            raise unavailable(f"{self._call.age_s:.0f} s {waited}: too long", "timeout") from e
        if ticket.started_at is not None and self._call.ttft_ms is None:
            waited_s = ticket.started_at - (time.monotonic() - self._call.age_s)
            self._state.metrics.queue_time.observe(max(0.0, waited_s))
        return events

"""One request's answers: submitted together, merged into one stream, always given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from workers.serve.engines.base import EngineError, QueueFull, SamplingParams, Ticket, TokenEvent
from workers.serve.http.errors import ApiError, unavailable
from workers.serve.http.state import Call, Loaded, ServerState
from workers.serve.text.answer import Answer, Delta
from workers.serve.text.prompts import Prompt

MAX_ROWS = 128
PING_S = 15.0
_UNPACED = 8
_WRITE_S = 0.0005
_SLOWEST_S = 0.04
_STOPPABLE_S = 0.02
_WHOLE_S = 0.2


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Row:
    """One answer to be written."""

    prompt: Prompt
    params: SamplingParams
    answer: Answer


@dataclass(slots=True)
class Choice:
    """One answer being written."""

    index: int
    row: Row
    ticket: Ticket
    last_at: float = 0.0

    @property
    def answer(self) -> Answer:
        """Its text so far."""
        return self.row.answer


Piece = tuple[Choice, Delta]
"""New text of one of the answers."""
_Queue = asyncio.Queue[Piece | BaseException | None]


class Generation:
    """The answers of one request; `close` gives their slots back, whatever happened.

    Args:
        state: the server.
        loaded: engine and texts.
        call: the request's account; it is asked to be let in here.
        rows: what to write; rows of one prompt share its object.
        adapter: the engine's name of it.
        mark: text behind every answer's end, such as a label.

    Raises:
        ApiError: 400 for too many rows, 429 and 503 when there is no room.
    """

    def __init__(
        self,
        state: ServerState,
        loaded: Loaded,
        call: Call,
        rows: Sequence[Row],
        adapter: str | None,
        mark: str = "",
    ) -> None:
        self._state = state
        if len(rows) > MAX_ROWS:
            raise ApiError(400, f"at most {MAX_ROWS} answers a request", param="n")
        self._spec, self._engine, self._call, self._mark = state.spec, loaded.engine, call, mark
        self._admission = state.admission
        self._ending: BaseException | None = None
        self.choices: list[Choice] = []
        self.prompts = list({id(r.prompt): r.prompt for r in rows}.values())
        call.admit(
            prompt_tokens=sum(len(p.tokens) for p in self.prompts),
            answers=len(rows),
            new_tokens=max(r.params.max_new_tokens for r in rows),
        )
        self._submit(rows, adapter)
        call.when_cancelled(self._end_with)

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts, each counted once."""
        return self._call.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """Of all answers so far."""
        return sum(c.answer.completion_tokens for c in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        """Of all answers so far."""
        return sum(c.answer.reasoning_tokens for c in self.choices)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that were known already, each prompt counted once."""
        first = {id(c.row.prompt): c.answer.cached_tokens for c in reversed(self.choices)}
        return sum(first.values())

    @property
    def finish_reason(self) -> str | None:
        """The first answer's."""
        return self.choices[0].answer.finish if self.choices else None

    async def pieces(self) -> AsyncGenerator[Piece | None]:
        """New pieces of any answer, until all are finished; None when nothing came for long.

        Raises:
            ApiError: 503 when the wait, the request or the engine came to its end; what the owner
                said when he ended it.
            ClientLeft: `leave` was called.
        """
        if len(self.choices) > 1:
            async for piece in self._merged():
                yield piece
            return
        choice, said_at = self.choices[0], time.monotonic()
        while choice.answer.finish is None:
            delta = await self._next(choice)
            if delta is not None and not delta.empty:
                yield choice, delta
                said_at = time.monotonic()
            elif time.monotonic() - said_at >= PING_S:  # also while a long call is written
                yield None
                said_at = time.monotonic()
            if choice.answer.finish is None:
                await choice.ticket.gather(self._pace_s(choice))

    def leave(self) -> None:
        """The client went away: end everything now."""
        self._end_with(ClientLeft())

    def close(self) -> None:
        """Cancel what is not finished."""
        for choice in self.choices:
            if not choice.ticket.finished:
                self._engine.cancel(choice.ticket)

    def _submit(self, rows: Sequence[Row], adapter: str | None) -> None:
        try:
            for index, row in enumerate(rows):
                ticket = self._engine.submit(
                    row.prompt.tokens, row.params, adapter, self._call.namespace
                )
                self.choices.append(Choice(index, row, ticket))
                self._call.tickets.append(ticket)
        except QueueFull as e:
            self.close()
            raise unavailable(str(e), "queue_full", self._admission.retry_after_s) from e
        except EngineError as e:
            self.close()
            raise unavailable(str(e), "engine_unavailable") from e

    def _end_with(self, reason: BaseException) -> None:
        if self._ending is not None:
            return
        self._ending = reason
        self.close()
        for choice in self.choices:  # wakes whoever waits
            choice.ticket.deliver(EngineError("ended"))

    async def _merged(self) -> AsyncGenerator[Piece | None]:
        queue: _Queue = asyncio.Queue()
        pumps = [asyncio.create_task(self._pump(c, queue)) for c in self.choices]
        left = len(pumps)
        try:
            while left:
                try:
                    async with asyncio.timeout(PING_S):
                        item = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    left -= 1
                else:
                    yield item
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, choice: Choice, queue: _Queue) -> None:
        try:
            while choice.answer.finish is None:
                delta = await self._next(choice)
                if delta is not None and not delta.empty:
                    queue.put_nowait((choice, delta))
                if choice.answer.finish is None:
                    await choice.ticket.gather(self._pace_s(choice))
            queue.put_nowait(None)
        except (ApiError, ClientLeft) as e:
            queue.put_nowait(e)

    async def _next(self, choice: Choice) -> Delta | None:
        events = await self.wait(choice.ticket)
        if events is None:
            return None
        now = time.monotonic()
        self._call.took(events, now - choice.last_at if choice.last_at else None)
        choice.last_at = now
        delta = choice.answer.add(events)
        if delta.finish is not None:
            self._finish(choice, delta)
        self._call.heard(choice.index, delta.content, delta.reasoning)
        return delta

    def _finish(self, choice: Choice, delta: Delta) -> None:
        if not choice.ticket.finished:
            self._engine.cancel(choice.ticket)  # a stop string: the engine does not know
        if delta.finish != "tool_calls":
            delta.content += self._mark

    async def wait(self, ticket: Ticket) -> list[TokenEvent] | None:
        """New events of an answer; None when none came for `PING_S`.

        Raises:
            ApiError, ClientLeft: as `pieces`.
        """
        try:
            if ticket.has_news:
                return await ticket.next_events()
            async with asyncio.timeout(max(0.0, min(PING_S, self._left_s(ticket)))):
                return await ticket.next_events()
        except TimeoutError as e:
            if self._left_s(ticket) > 0:
                return None
            waited = "in the queue" if ticket.started_at is None else "in all"
            raise unavailable(f"{self._call.age_s:.0f} s {waited}: too long", "timeout") from e
        except EngineError as e:
            if self._ending is not None:
                raise self._ending from None
            raise unavailable(str(e), "engine_error") from e

    def _pace_s(self, choice: Choice) -> float:
        """How long to let tokens gather before the next look.

        A few streams are written token by token; many share what writing may cost, and are still
        written many times a second. Who reads everything at the end needs no look in between,
        unless the text itself may end the answer.
        """
        if self._call.streamed:
            open_calls = self._state.open_calls
            return 0.0 if open_calls <= _UNPACED else min(_SLOWEST_S, open_calls * _WRITE_S)
        return _STOPPABLE_S if choice.answer.may_end_itself else _WHOLE_S

    def _left_s(self, ticket: Ticket) -> float:
        spec, age_s = self._spec, self._call.age_s
        if ticket.started_at is None:
            return min(spec.request_timeout_s, spec.queue_timeout_s) - age_s
        return spec.request_timeout_s - age_s

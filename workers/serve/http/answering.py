"""The way of every request that has text written: from body to answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from workers.serve.http import labels
from workers.serve.http.errors import ApiError
from workers.serve.http.formats import Format, Totals
from workers.serve.http.generation import ClientLeft, Generation, Piece, Row
from workers.serve.http.ignored import ignored_header
from workers.serve.http.schemas import Body, Sampling, parse
from workers.serve.http.state import LEFT, Call, Loaded, ServerState, resolve_model
from workers.serve.http.streaming import DONE, PING, EventStream, Presence, encoded, event

log = logging.getLogger(__name__)
_B = TypeVar("_B", bound=Body)
_S = TypeVar("_S", bound=Sampling)


@dataclass(frozen=True)
class Asked(Generic[_B]):
    """A request that was read, and what it is for."""

    state: ServerState
    loaded: Loaded
    call: Call
    body: _B
    model: str
    """Public name that answers."""
    adapter: str | None


@dataclass(frozen=True)
class Prepared:
    """What to write, and how to say it."""

    rows: list[Row]
    form: Format
    markable: bool = True
    """A visible label may stand behind the text."""


async def begun(state: ServerState, call: Call, request: Request, schema: type[_B]) -> Asked[_B]:
    """Read the body and find the model.

    Raises:
        ApiError: 400, 403, 404, 413 or 503.
    """
    body = parse(schema, await request.body())
    loaded = state.require_ready()
    model, adapter = resolve_model(loaded, getattr(body, "model", None))
    call.use_model(model)
    return Asked(state, loaded, call, body, model, adapter)


async def accounted(
    state: ServerState, request: Request, work: Callable[[Call], Awaitable[Response]]
) -> Response:
    """Do the work of a request under its account, which is closed when it fails."""
    call = Call.of(state, request)
    try:
        return await work(call)
    except ApiError as e:
        call.fail(e)
        response = e.response()
        response.headers["x-request-id"] = call.request_id
        return response
    except (ClientLeft, ClientDisconnect):
        call.end(LEFT)
        return Response(status_code=LEFT)
    except BaseException:
        call.end(500)
        raise


async def answer(
    state: ServerState,
    request: Request,
    schema: type[_S],
    prepare: Callable[[Asked[_S]], Awaitable[Prepared]],
) -> Response:
    """Read, prepare, write, answer."""

    async def work(call: Call) -> Response:
        asked = await begun(state, call, request, schema)
        call.streamed = bool(asked.body.stream)
        call.remember(asked.body.model_dump(exclude_unset=True, by_alias=True))
        presence = Presence(request.receive)
        try:
            prepared = await prepare(asked)
            if presence.left:
                raise ClientLeft
            mark = labels.VISIBLE if state.spec.ai_label and prepared.markable else ""
            generation = Generation(state, asked.loaded, call, prepared.rows, asked.adapter, mark)
        except BaseException:
            presence.close()
            raise
        presence.when_left(generation.leave)
        response = await _respond(asked, generation, prepared.form, presence)
        response.headers.update(headers_of(asked))
        return response

    return await accounted(state, request, work)


async def _respond(
    asked: Asked[_S], generation: Generation, form: Format, presence: Presence
) -> Response:
    pieces, call = generation.pieces(), asked.call

    def closed() -> None:
        presence.close()
        generation.close()

    if not asked.body.stream:
        try:
            content = encoded(await _whole(pieces, generation, form))
        finally:
            closed()
        call.end(200, generation.finish_reason)
        return Response(content, media_type="application/json")
    try:
        # Before the headers: a full wait or a dead engine can still be an honest status.
        first = await _first(pieces)
    except BaseException:
        closed()
        raise

    def ended(complete: bool) -> None:
        closed()
        call.end(200 if complete and not presence.left else LEFT, generation.finish_reason)

    return EventStream(_blocks(first, pieces, generation, form, asked), ended)


async def _first(pieces: AsyncGenerator[Piece | None]) -> Piece | None:
    """The first piece; a long silence has the headers sent, so that pings can follow."""
    return await anext(pieces, None)


async def _whole(
    pieces: AsyncGenerator[Piece | None], generation: Generation, form: Format
) -> dict[str, object]:
    totals = Totals(generation)
    async for piece in pieces:
        if piece is not None:
            totals.add(*piece)
    return form.whole(generation, totals.deltas)


async def _blocks(
    first: Piece | None,
    pieces: AsyncGenerator[Piece | None],
    generation: Generation,
    form: Format,
    asked: Asked[_S],
) -> AsyncGenerator[bytes]:
    """Opening chunks, pieces, usage, `[DONE]`; an error that comes late is an event of its own."""
    try:
        block = b"".join(form.opening(c) for c in generation.choices)
        block += form.chunk(*first) if first is not None else PING
        yield block
        async for piece in pieces:
            yield form.chunk(*piece) if piece is not None else PING
        last = DONE
        if asked.body.wants_usage:
            last = form.usage_chunk(generation) + DONE
        yield last
    except ClientLeft:
        return
    except ApiError as e:
        asked.call.fail(e)
        yield event(e.body()) + DONE


def headers_of(asked: Asked[_B]) -> Mapping[str, str]:
    """What every answer of this request carries in its headers."""
    headers = {"x-request-id": asked.call.request_id} | ignored_header(asked.body)
    return headers | labels.HEADERS if asked.state.spec.ai_label else headers

"""The routes."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from workers.serve.http import formats
from workers.serve.http.admin import add_admin
from workers.serve.http.errors import ApiError
from workers.serve.http.formats import ChatFormat, CompletionFormat, Format, GenerateFormat
from workers.serve.http.generation import Choice, Generation
from workers.serve.http.guard import refuse_unsupported
from workers.serve.http.health import add_health
from workers.serve.http.keys import KeyRing
from workers.serve.http.schemas import (
    Body,
    ChatRequest,
    CompletionRequest,
    GenerateRequest,
    Sampling,
    parse,
)
from workers.serve.http.security import guarded
from workers.serve.http.state import LEFT, Call, Loaded, ServerState, resolve_model
from workers.serve.http.streaming import DONE, ClientLeft, EventStream, event, watched
from workers.serve.text.answer import Delta
from workers.serve.text.prompts import Prompt

log = logging.getLogger(__name__)
Piece = tuple[Choice, Delta]


def build_app(state: ServerState, key: KeyRing | str) -> ASGIApp:
    """The whole application, guards in front."""
    app = FastAPI(
        title="DeepDeck local API",
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    _add_generating_routes(app, state)
    _add_facts(app, state)
    add_health(app, state)
    add_admin(app, state)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    return guarded(app, state, key)


def _add_generating_routes(app: FastAPI, state: ServerState) -> None:
    @app.post("/generate", openapi_extra=_documented(GenerateRequest))
    async def generate(request: Request) -> Response:
        """Prompt in, text out."""
        return await _answer(state, request, GenerateRequest, GenerateFormat)

    @app.post("/v1/chat/completions", openapi_extra=_documented(ChatRequest))
    async def chat_completions(request: Request) -> Response:
        """OpenAI's chat."""
        return await _answer(state, request, ChatRequest, ChatFormat)

    @app.post("/v1/completions", openapi_extra=_documented(CompletionRequest))
    async def completions(request: Request) -> Response:
        """OpenAI's text completions."""
        return await _answer(state, request, CompletionRequest, CompletionFormat)


def _add_facts(app: FastAPI, state: ServerState) -> None:
    @app.get("/v1/models")
    async def models() -> Response:
        """Names that requests may use."""
        return JSONResponse({"object": "list", "data": _models(state)})


def _models(state: ServerState) -> list[dict[str, Any]]:
    if state.loaded is None:
        return []
    names = list(state.loaded.model_ids)
    return [
        {
            "id": name,
            "object": "model",
            "created": state.created,
            "owned_by": "deepdeck",
            "root": names[-1],
            "max_model_len": state.loaded.facts.max_context_tokens,
        }
        for name in names
    ]


async def _answer(
    state: ServerState,
    request: Request,
    schema: type[Sampling],
    make_format: Callable[..., Format],
) -> Response:
    """The way of every generating request, from body to answer."""
    call = Call.of(state, request)
    try:
        body = parse(schema, await request.body())
        call.streamed = bool(body.stream)
        loaded = state.require_ready()
        model, adapter = resolve_model(loaded, body.model)
        call.use_model(model)
        call.remember(body.model_dump(exclude_unset=True))
        refuse_unsupported(body)
        prompts = await watched(request, _prompts(loaded, body, adapter))
        generation = Generation(state, loaded, call, body, prompts, adapter)
        form = make_format(call.request_id, model, loaded.prompter, call.prompt_tokens)
        return await _respond(request, call, body, generation, form)
    except ApiError as e:
        call.fail(e)
        return e.response()
    except (ClientLeft, ClientDisconnect):
        call.end(LEFT)
        return Response(status_code=LEFT)
    except BaseException:
        call.end(500)
        raise


async def _prompts(loaded: Loaded, body: Sampling, adapter: str | None) -> list[Prompt]:
    prompter = loaded.prompter
    if isinstance(body, ChatRequest):
        return [await prompter.chat(body.messages, body.chat_template_kwargs, adapter)]
    if isinstance(body, CompletionRequest):
        return [await prompter.text(p) if isinstance(p, str) else Prompt(p) for p in body.prompts]
    assert isinstance(body, GenerateRequest)
    return [await prompter.text(body.prompt)]


async def _respond(
    request: Request, call: Call, body: Sampling, generation: Generation, form: Format
) -> Response:
    pieces = generation.deltas()
    if not body.stream:
        try:
            document = await watched(request, _whole(pieces, generation, form))
        finally:
            generation.close()
        call.end(200, generation.finish_reason)
        return _with_id(_json(document), call)
    try:
        # Before the headers: a full wait or a dead engine can still be an honest status.
        first = await watched(request, _first(pieces))
    except BaseException:
        generation.close()
        raise

    def ended(complete: bool) -> None:
        generation.close()
        call.end(200 if complete else LEFT, generation.finish_reason)

    chunks = _chunks(first, pieces, generation, form, body, call)
    return _with_id(EventStream(chunks, ended), call)


async def _first(pieces: AsyncIterator[Piece]) -> Piece | None:
    return await anext(pieces, None)


async def _whole(
    pieces: AsyncIterator[Piece], generation: Generation, form: Format
) -> dict[str, Any]:
    totals = formats.merged(generation)
    async for choice, delta in pieces:
        formats.add(totals[choice.index], delta)
    return form.whole(generation, list(totals.values()))


async def _chunks(
    first: Piece | None,
    pieces: AsyncGenerator[Piece],
    generation: Generation,
    form: Format,
    body: Sampling,
    call: Call,
) -> AsyncGenerator[bytes]:
    """Opening chunks, pieces, usage, `[DONE]`; an error that comes late is an event of its own."""
    try:
        for choice in generation.choices:
            if opening := form.opening(choice):
                yield event(opening)
        if first is not None:
            yield event(form.chunk(*first))
        async with contextlib.aclosing(pieces):
            async for choice, delta in pieces:
                yield event(form.chunk(choice, delta))
        if body.wants_usage and (usage := form.usage_chunk(generation)):
            yield event(usage)
    except ApiError as e:
        generation.close()
        call.fail(e)
        yield event(e.body())
    yield DONE


def _json(document: dict[str, Any]) -> Response:
    content = json.dumps(document, ensure_ascii=False).encode()
    return Response(content, media_type="application/json")


def _with_id(response: Response, call: Call) -> Response:
    response.headers["x-request-id"] = call.request_id
    return response


def _documented(schema: type[Body]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found = ApiError(error.status_code, str(error.detail), code=f"http_{error.status_code}")
    response = found.response()
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _unexpected(_request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return ApiError(500, "an internal error; see the run's output.log", code="internal").response()

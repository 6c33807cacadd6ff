"""The routes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from workers.serve.http.admin import add_admin
from workers.serve.http.chat import chat
from workers.serve.http.completions import completions, generate
from workers.serve.http.embeddings import embeddings
from workers.serve.http.errors import ApiError
from workers.serve.http.health import add_health
from workers.serve.http.keys import KeyRing
from workers.serve.http.models import model, models
from workers.serve.http.openapi import described
from workers.serve.http.security import guarded
from workers.serve.http.state import ServerState
from workers.serve.http.tokenize import detokenize, tokenize, tokenizer_info

log = logging.getLogger(__name__)
_Route = Callable[[ServerState, Request], Awaitable[Response]]

POSTED: dict[str, _Route] = {
    "/v1/chat/completions": chat,
    "/v1/completions": completions,
    "/generate": generate,
    "/v1/embeddings": embeddings,
    "/tokenize": tokenize,
    "/detokenize": detokenize,
}
ASKED: dict[str, _Route] = {
    "/v1/models": models,
    "/v1/models/{model:path}": model,
    "/tokenizer_info": tokenizer_info,
}


def build_app(state: ServerState, key: KeyRing | str) -> ASGIApp:
    """The whole application, guards in front."""
    app = FastAPI(
        title="DeepDeck local API",
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    # Plain routes: bodies are read by `schemas`, which gives OpenAI's errors and costs less.
    for path, route in POSTED.items():
        app.add_route(path, _bound(route, state), methods=["POST"], include_in_schema=False)
    for path, route in ASKED.items():
        app.add_route(path, _bound(route, state), methods=["GET"], include_in_schema=False)
    add_health(app, state)
    add_admin(app, state)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = described(app.openapi)  # type: ignore[method-assign]
    return guarded(app, state, key)


def _bound(route: _Route, state: ServerState) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await route(state, request)

    return endpoint


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

"""GET /v1/models: the names that requests may use."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workers.serve.http.call import GRANT
from workers.serve.http.errors import ApiError
from workers.serve.http.keys import Grant
from workers.serve.http.state import Loaded, ServerState, resolve_model


async def models(state: ServerState, request: Request) -> Response:
    """All names that the key may use; none while the model is being loaded."""
    found = [] if state.loaded is None else _all(state, state.loaded, _grant(request))
    return JSONResponse({"object": "list", "data": found})


async def model(state: ServerState, request: Request) -> Response:
    """One of them, or 404."""
    try:
        loaded = state.require_ready()
        name, _ = resolve_model(loaded, request.path_params["model"])
        found = [m for m in _all(state, loaded, _grant(request)) if m["id"] == name]
        if not found:
            raise ApiError(404, "there is no such model here", code="model_not_found")
        return JSONResponse(found[0])
    except ApiError as e:
        return e.response()


def _all(state: ServerState, loaded: Loaded, grant: Grant) -> list[dict[str, Any]]:
    names = loaded.model_ids
    base = next((n for n, adapter in names.items() if adapter is None), None)
    return [
        {
            "id": name,
            "object": "model",
            "created": state.created,
            "owned_by": "deepdeck",
            "root": base or name.partition(":")[0],
            "parent": base if adapter is not None else None,
            "max_model_len": loaded.facts.max_context_tokens,
        }
        for name, adapter in names.items()
        if grant.may_use(name)
    ]


def _grant(request: Request) -> Grant:
    return request.scope.get(GRANT) or Grant()

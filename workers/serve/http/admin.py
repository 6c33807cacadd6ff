"""What only the window's own key may ask for."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from workers.serve.http.call import GRANT
from workers.serve.http.errors import ApiError
from workers.serve.http.state import ServerState


def add_admin(app: FastAPI, state: ServerState) -> None:
    """`/v1/deepdeck/requests/{request_id}`."""

    @app.get("/v1/deepdeck/requests/{request_id}")
    async def remembered(request: Request, request_id: str) -> Response:
        """The text of one of the last requests, from memory, to open it in the chat."""
        try:
            _owner_only(request)
            found = state.memory.find(request_id)
            if found is None:
                raise ApiError(
                    404, "this request is not remembered (any more)", code="request_not_found"
                )
        except ApiError as e:
            return e.response()
        return JSONResponse(found)


def _owner_only(request: Request) -> None:
    grant = request.scope.get(GRANT)
    if grant is None or not grant.own:
        raise ApiError(403, "only DeepDeck's own key may read requests", code="owner_only")

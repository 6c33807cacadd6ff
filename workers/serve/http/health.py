"""Whether the server lives, whether it answers, and its figures."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response

from workers.serve.http.errors import RETRY_AFTER_S
from workers.serve.http.state import ServerState


def add_health(app: FastAPI, state: ServerState) -> None:
    """`/health/live`, `/health/ready`, `/health`, `/metrics`."""

    @app.get("/health/live")
    async def live() -> Response:
        """200 as long as the server can speak at all. Needs no key."""
        return JSONResponse({"live": True})

    @app.get("/health/ready")
    async def ready() -> Response:
        """200 when requests are answered, else 503 with the reason."""
        return _readiness(state)

    @app.get("/health")
    async def health() -> Response:
        """The same for clients that know no other. Needs no key."""
        return _readiness(state, to_strangers=True)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        text = state.metrics.text(state.engine_stats(), state.gauges())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def readiness(state: ServerState) -> tuple[str, str]:
    """The phase, "failed" when the engine is dead, and why it is not "ready"."""
    if failed := state.engine_stats().failed:
        return "failed", failed
    return state.phase, "" if state.phase == "ready" else state.reason


def _readiness(state: ServerState, *, to_strangers: bool = False) -> Response:
    """Strangers are not told why an engine failed: it may name files."""
    phase, reason = readiness(state)
    ready = phase == "ready"
    if to_strangers and phase == "failed":
        reason = "the engine failed"
    body: dict[str, Any] = {"live": True, "ready": ready, "status": phase, "reason": reason}
    headers = {} if ready else {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse(body, 200 if ready else 503, headers)

"""The life of a server: take the address, answer "loading", load, be ready, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from core import secrets
from core.catalog import inspect_model
from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from core.paths import Home
from core.protocol.events import ServeReady, ServeStats
from workers.harness import WorkerContext
from workers.serve import names
from workers.serve.address import open_listener, url_of
from workers.serve.http.api import build_app
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.state import Loaded, ServerState

log = logging.getLogger(__name__)

_TICK_S = 0.1
_STATS_S = 1.0
_PHASE_S = 0.2
_LAST_WORDS_S = 3
"""How long open connections get to take their last bytes."""


class _Stopped(BaseException):
    """Raised inside loading when a stop was asked for. No `except Exception` may swallow it."""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the harness has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def serve(context: WorkerContext) -> dict[str, Any]:
    """Serve until a stop is asked for; returns the counts of the run.

    Raises:
        AppError: `serve.port_in_use`, `serve.host_unavailable`, `model.*`, `adapter.*`,
            `serve.engine_failed`.
    """
    spec = ServeSpec.parse(context.spec)
    listener = open_listener(spec.host, spec.port)
    try:
        return asyncio.run(_Life(context, spec, listener).run())
    finally:
        listener.close()


class _Life:
    def __init__(self, context: WorkerContext, spec: ServeSpec, listener: socket.socket) -> None:
        self._context, self._spec, self._listener = context, spec, listener
        self._url = url_of(listener)
        self._key = secrets.api_key(Home.default())
        metrics = ServerMetrics(names.base_id(context.document, spec), spec.queue_limit)
        self._state = ServerState(spec, metrics, on_request=context.reporter.emit)
        self._last_stats: ServeStats | None = None
        self._last_phase = ("", "")
        self._last_phase_at = 0.0

    async def run(self) -> dict[str, Any]:
        """From the first byte to the last."""
        server = self._server()
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        try:
            await self._load()
            await self._say_ready()
            await self._watch()
        except _Stopped:
            log.info("stopped while loading")
        except AppError as e:
            self._state.phase, self._state.reason = "failed", str(e)
            raise
        finally:
            await self._end(server, serving)
        metrics = self._state.metrics
        return {
            "url": self._url,
            "requests": metrics.requests_total,
            "errors": metrics.errors_total,
            "generated_tokens": metrics.generation_tokens,
        }

    def _server(self) -> _Server:
        app = build_app(self._state, self._key)
        return _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_LAST_WORDS_S,
            )
        )

    # -- loading ------------------------------------------------------------------------------

    async def _load(self) -> None:
        loaded = await asyncio.to_thread(self._load_blocking)
        self._state.loaded = loaded
        self._state.phase, self._state.reason = "ready", ""

    def _load_blocking(self) -> Loaded:
        """On a thread: `/health` answers "loading" meanwhile."""
        path = Path(self._spec.model)
        self._progress("loading_model", None, path.name)
        inspect_model(path).usable()  # headers only: a clear word before anything heavy
        from workers.serve.engines.batched import BatchedEngine
        from workers.serve.engines.gguf_speed import headers_read_once
        from workers.serve.text.prompts import Prompter

        engine = BatchedEngine(self._spec)
        with headers_read_once():
            adapter = Path(self._spec.adapter) if self._spec.adapter else None
            prompter = Prompter.load(path, adapter)
            facts = engine.load(self._progress)
        ids = names.model_ids(self._context.document, self._spec, facts.adapters)
        return Loaded(engine, prompter, facts, ids, names.aliases(self._spec, ids))

    def _progress(self, phase: str, fraction: float | None, detail: str) -> None:
        if self._context.stop_requested:
            raise _Stopped
        now = time.monotonic()
        if (phase, detail) == self._last_phase and now - self._last_phase_at < _PHASE_S:
            return
        self._last_phase, self._last_phase_at = (phase, detail), now
        percent = "" if fraction is None else f" {fraction:.0%}"
        self._state.reason = f"{phase.replace('_', ' ')}{percent}"
        self._context.reporter.phase(phase, fraction, detail)

    async def _say_ready(self) -> None:
        await asyncio.to_thread(probe, self._url, self._key)
        loaded = self._state.require_ready()
        self._context.reporter.phase("ready", 1.0, self._url)
        self._context.reporter.emit(
            ServeReady(
                url=self._url,
                model_id=next(iter(loaded.model_ids)),
                adapter=names.adapter_label(self._spec.adapter) if self._spec.adapter else None,
                engine=loaded.facts.engine,
                device=loaded.facts.device,
                dtype=loaded.facts.dtype,
                max_context_tokens=loaded.facts.max_context_tokens,
            )
        )

    # -- running ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Until a stop is asked for or the engine dies; says the figures that changed."""
        due = 0.0
        while not self._context.stop_requested:
            if time.monotonic() >= due:
                due = time.monotonic() + _STATS_S
                self._say_stats()
            await asyncio.sleep(_TICK_S)

    def _say_stats(self) -> None:
        engine = self._state.engine_stats()
        if engine.failed:
            raise AppError(ErrorCode.ENGINE_FAILED, detail=engine.failed)
        stats = self._state.metrics.stats(engine)
        if stats != self._last_stats:
            self._last_stats = stats
            self._context.reporter.emit(stats)

    # -- ending -------------------------------------------------------------------------------

    async def _end(self, server: _Server, serving: asyncio.Task[None]) -> None:
        """Let open requests finish, then end them with a word, then close the port."""
        state = self._state
        if state.phase == "ready":
            state.phase, state.reason = "draining", "the server is stopping"
            self._context.reporter.phase("draining", None, f"{state.open_calls}")
            await self._until_quiet(self._spec.drain_s)
        if state.loaded is not None:
            state.loaded.engine.end_all(state.reason or "the server is stopping")
            await self._until_quiet(1.0)
            self._say_last_stats()
        server.should_exit = True
        await serving
        if state.loaded is not None:
            state.loaded.prompter.close()
            await asyncio.to_thread(state.loaded.engine.unload)

    async def _until_quiet(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        # Polled: the count falls in many places, and this is the one that waits for zero.
        while self._state.open_calls and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _say_last_stats(self) -> None:
        stats = self._state.metrics.stats(self._state.engine_stats())
        if stats != self._last_stats:
            self._context.reporter.emit(stats)


def probe(url: str, key: str) -> None:
    """Ask the API as a client would, key and all.

    Raises:
        AppError: `serve.host_unavailable` when it does not answer as it should.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    for path in ("/health", "/v1/models"):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            status = connection.getresponse().status
        except OSError as e:
            raise AppError(ErrorCode.HOST_UNAVAILABLE, host=url, detail=str(e)) from e
        finally:
            connection.close()
        if status != 200:
            raise AppError(ErrorCode.HOST_UNAVAILABLE, host=url, detail=f"{path}: HTTP {status}")

"""The life of a server: take the address, answer "loading", load, be ready, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from core import secrets
from core.catalog import inspect_model
from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from core.hardware import gpu_backend
from core.paths import Home
from core.protocol.events import ServeEngine, ServeReady, ServeStats
from core.services.serve_address import reachable_addresses
from core.serving import Choice
from core.serving.choice import AS_CHOSEN, NATIVE_REFUSED
from workers.harness import WorkerContext
from workers.serve import names
from workers.serve.address import open_listener, url_of
from workers.serve.commands import Commands, templates_of
from workers.serve.engines.base import Engine, ModelFacts
from workers.serve.engines.choice import choice_for
from workers.serve.engines.remote import RemoteEngine
from workers.serve.engines.sources import gguf_file_of
from workers.serve.http.api import build_app
from workers.serve.http.audit import AuditLog
from workers.serve.http.connections import patient_protocol
from workers.serve.http.keys import KeyRing
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.state import Loaded, ServerState
from workers.serve.text.gguf_tokenizer import unpack_tokenizer
from workers.serve.text.prompts import Prompter

log = logging.getLogger(__name__)

_TICK_S = 0.1
_STATS_S = 1.0
_PHASE_S = 0.2
_REFUSED_BY_NATIVE = (ErrorCode.MODEL_UNSUPPORTED, ErrorCode.ADAPTER_UNSUPPORTED)
_LAST_EVENTS_S = 0.5
"""How long answers that were ended get to say so."""
_LAST_WORDS_S = 2
"""How long open connections get to take their last bytes."""


class _Stopped(Exception):
    """A stop was asked for while loading."""


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
        self._base = names.base_id(context.document, spec)
        metrics = ServerMetrics(self._base, spec.queue_limit)
        self._state = ServerState(spec, metrics, on_request=context.reporter.emit)
        self._state.keys = KeyRing(Home.default())
        if spec.audit_log:
            self._state.audit = AuditLog(context.run.path / "audit.jsonl")
        self._last_stats: ServeStats | None = None
        self._last_phase = ("", "")
        self._last_phase_at = 0.0
        self._engine: RemoteEngine | None = None
        self._commands: Commands | None = None
        self._choice: Choice

    async def run(self) -> dict[str, Any]:
        """From the first byte to the last."""
        server = self._server()
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        try:
            await self._unless_stopped(self._load())
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
        assert self._state.keys is not None
        app = build_app(self._state, self._state.keys)
        return _Server(
            uvicorn.Config(
                app,
                http=patient_protocol(),
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

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.create_task(work)
        while not doing.done():
            await asyncio.wait({doing}, timeout=_TICK_S)
            if self._context.stop_requested and not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)
                raise _Stopped
        await doing

    async def _load(self) -> None:
        """`/health` answers "loading" meanwhile."""
        path = Path(self._spec.model)
        self._progress("loading_model", None, path.name)
        # Headers only: a clear word before anything heavy.
        model = await asyncio.to_thread(lambda: inspect_model(path).usable())
        backend = gpu_backend()
        self._choice = choice_for(self._spec, model, backend.sample())
        backend.close()
        reading = asyncio.create_task(asyncio.to_thread(self._prompter, path))
        try:
            facts = await self._load_engine()
            prompter = await reading
        except BaseException:
            await asyncio.gather(reading, return_exceptions=True)
            raise
        assert self._engine is not None
        engine: Engine = self._engine
        folders = names.adapter_names(self._spec)
        ids = names.model_ids(self._base, facts.adapters, default=next(iter(folders), None))
        self._state.loaded = Loaded(engine, prompter, facts, ids, names.aliases(folders, ids))
        self._state.phase, self._state.reason = "ready", ""
        self._commands = Commands(self._context, self._state, self._base, folders)

    async def _load_engine(self) -> ModelFacts:
        """By the chosen engine; transformers takes what the native one refuses at second sight."""
        try:
            return await self._start_engine()
        except AppError as e:
            choice = self._choice
            chosen_by_us = choice.engine == "native" and choice.engine_reason != AS_CHOSEN
            if not (chosen_by_us and e.code in _REFUSED_BY_NATIVE):
                raise
            log.info("the native engine refused: %s", e)
            why = str(e.params.get("reason") or e.detail)
            self._choice = replace(
                choice,
                engine="transformers",
                engine_reason=NATIVE_REFUSED,
                engine_params={"why": why},
            )
            return await self._start_engine()

    async def _start_engine(self) -> ModelFacts:
        spec = self._spec.model_copy(update={"precision": self._choice.precision})
        self._engine = RemoteEngine(spec, core=self._choice.engine, on_change=self._engine_changed)
        return await self._engine.load(self._progress)

    def _prompter(self, path: Path) -> Prompter:
        source = path
        if (gguf := gguf_file_of(path)) is not None:
            source = unpack_tokenizer(gguf, self._context.run.path / "tokenizer")
        prompter = Prompter.load(source, recommended_by=path)
        prompter.use_templates(templates_of(names.adapter_names(self._spec)))
        return prompter

    def _progress(self, phase: str, fraction: float | None, detail: str) -> None:
        now = time.monotonic()
        if (phase, detail) == self._last_phase and now - self._last_phase_at < _PHASE_S:
            return
        self._last_phase, self._last_phase_at = (phase, detail), now
        percent = "" if fraction is None else f" {fraction:.0%}"
        self._state.reason = f"{phase.replace('_', ' ')}{percent}"
        self._context.reporter.phase(phase, fraction, detail)

    def _engine_changed(self, event: ServeEngine) -> None:
        """The engine's process crashed, or is back: clients and window must know."""
        self._context.reporter.emit(event)
        if self._state.phase not in ("ready", "restarting"):
            return
        if event.state == "ready":
            self._state.phase, self._state.reason = "ready", ""
        else:
            self._state.phase = "restarting"
            self._state.reason = f"the engine crashed and is being restarted: {event.reason}"

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
                engine_reason=self._choice.engine_reason,
                engine_params=self._choice.engine_params,
                precision=loaded.facts.precision,
                precision_reason=self._choice.precision_reason,
                precision_params=self._choice.precision_params,
                adapters=tuple(public for public, name in loaded.model_ids.items() if name),
                cache_tokens=loaded.facts.cache_tokens,
                max_batch_size=loaded.facts.max_batch_size,
                memory_budget_gib=loaded.facts.memory_budget_gib,
                addresses=self._addresses(),
            )
        )

    def _addresses(self) -> tuple[str, ...]:
        found = reachable_addresses(self._spec.host, self._listener.getsockname()[1])
        if found:
            log.warning("other computers can reach this server: %s", ", ".join(found))
        return found

    # -- running ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Until a stop is asked for or the engine dies; says the figures that changed."""
        due = 0.0
        while not self._context.stop_requested:
            if self._commands is not None:
                self._commands.obey()
            if time.monotonic() >= due:
                due = time.monotonic() + _STATS_S
                self._state.tick()
                self._say_stats()
            await asyncio.sleep(_TICK_S)

    def _say_stats(self) -> None:
        if failed := self._state.engine_stats().failed:
            raise AppError(ErrorCode.ENGINE_FAILED, detail=failed)
        self._say_new_stats()

    def _say_new_stats(self) -> None:
        stats = self._state.stats()
        if stats != self._last_stats:
            self._last_stats = stats
            self._context.reporter.emit(stats)

    # -- ending -------------------------------------------------------------------------------

    async def _end(self, server: _Server, serving: asyncio.Task[None]) -> None:
        """Let open requests finish, then end them with a word, then close the port."""
        state = self._state
        if self._commands is not None:
            await self._commands.close()
        if state.phase in ("ready", "restarting"):
            state.phase, state.reason = "draining", "the server is stopping"
            self._context.reporter.phase("draining", None, f"{state.open_calls}")
            await self._until_quiet(self._spec.drain_s)
        if self._engine is not None:
            self._engine.end_all(state.reason or "the server is stopping")
            await self._until_quiet(_LAST_EVENTS_S)
            self._say_new_stats()
        server.should_exit = True
        # Beside each other: neither a slow client nor a slow engine may hold up the other.
        await asyncio.gather(serving, self._engine.unload() if self._engine else _nothing())
        await asyncio.to_thread(state.flush_usage)
        if state.audit is not None:
            state.audit.close()
        if state.loaded is not None:
            state.loaded.prompter.close()

    async def _until_quiet(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        # Polled: the count falls in many places, and this is the one that waits for zero.
        while self._state.open_calls and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _nothing() -> None:
    return


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

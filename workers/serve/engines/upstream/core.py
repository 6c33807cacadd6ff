"""`EngineCore` over another server: each answer is a stream that a thread reads."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import httpx

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import (
    AdapterChange,
    EngineError,
    EngineStats,
    ModelFacts,
    Output,
    Progress,
    Request,
    TokenEvent,
    started,
)
from workers.serve.engines.upstream.dialect import Dialect
from workers.serve.engines.upstream.server import UpstreamServer

_STEP_WAIT_S = 0.02


class UpstreamDied(RuntimeError):
    """The other server is gone; whoever runs this core starts everything anew."""


class UpstreamCore:
    """The other server batches; this one only carries tokens over.

    Args:
        dialect: how that server is started and spoken to.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._outbox: queue.SimpleQueue[Output] = queue.SimpleQueue()
        self._open: dict[int, asyncio.Task[None]] = {}
        self._running: set[int] = set()
        self._steps = 0
        self._server: UpstreamServer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def busy(self) -> bool:
        """Whether an answer is open, something was not fetched yet, or the server is gone."""
        gone = self._server is not None and bool(self._server.ended)
        return bool(self._open) or not self._outbox.empty() or gone

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        """Start the server and wait until it answers."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would note every request
        self._server = UpstreamServer(self._dialect, spec)
        try:
            self._facts = self._server.until_ready(progress)
        except BaseException:
            self._server.end()
            raise
        self._thread.start()
        self._client = httpx.AsyncClient(
            base_url=self._server.url,
            headers=self._server.headers,
            timeout=httpx.Timeout(None, connect=10),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )
        return self._facts

    def add(self, request: Request) -> None:
        """Open a stream."""
        self._call(self._open_stream, request)

    def cancel(self, ids: Collection[int]) -> None:
        """Close streams; the other server notices that nobody reads."""
        for number in list(ids):
            self._call(self._close_stream, number)

    def step(self) -> list[Output]:
        """What came since; waits a moment for the first."""
        if self._server is not None and (ended := self._server.ended):
            raise UpstreamDied(ended)
        self._steps += 1
        found: list[Output] = []
        try:
            found.append(self._outbox.get(timeout=_STEP_WAIT_S))
            while True:
                found.append(self._outbox.get_nowait())
        except queue.Empty:
            return found

    def stats(self) -> EngineStats:
        """What is known from outside."""
        running = len(self._running)
        return EngineStats(
            running=running, queued=max(0, len(self._open) - running), steps=self._steps
        )

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        """Not while serving: the server is started anew with other adapters."""
        raise AppError(
            ErrorCode.ENGINE_UNAVAILABLE,
            engine=self._dialect.name,
            detail="adapters are chosen when it starts",
        )

    def unload(self) -> None:
        """End the server."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        if self._server is not None:
            self._server.end()

    # -- on the loop's thread ---------------------------------------------------------------------

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        asyncio.run_coroutine_threadsafe(_as_coroutine(function, *args), self._loop).result()

    def _open_stream(self, request: Request) -> None:
        self._open[request.id] = asyncio.ensure_future(self._carry(request))

    def _close_stream(self, number: int) -> None:
        if (task := self._open.pop(number, None)) is not None:
            task.cancel()
        self._running.discard(number)

    async def _carry(self, request: Request) -> None:
        """One answer from its first token to its last word."""
        asked = time.monotonic()
        try:
            await self._read(request, asked)
        except (httpx.HTTPError, ValueError, KeyError) as e:
            words = str(e) or type(e).__name__
            self._outbox.put((request.id, EngineError(f"{self._dialect.name}: {words}")))
        finally:
            self._open.pop(request.id, None)
            self._running.discard(request.id)

    async def _read(self, request: Request, asked: float) -> None:
        reader = self._dialect.reader(request, self._facts)
        body = self._dialect.body(request)
        async with self._client.stream("POST", self._dialect.path, json=body) as response:
            if response.status_code != 200:
                raise ValueError(_reason(response.status_code, await response.aread()))
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                for event in reader.events(json.loads(line[6:])):
                    self._say(request.id, event, asked)
                    if event.finish is not None:
                        return
        raise ValueError("the stream ended in the middle of an answer")

    def _say(self, number: int, event: TokenEvent, asked: float) -> None:
        if number not in self._running:
            self._running.add(number)
            self._outbox.put((number, started(1000 * (time.monotonic() - asked))))
        self._outbox.put((number, event))


async def _as_coroutine(function: Callable[..., None], *args: Any) -> None:
    function(*args)


def _reason(status: int, body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return f"{status}: {str(error.get('message', error))[:300]}"
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"HTTP {status}"


def llama_cpp() -> UpstreamCore:
    """llama.cpp's server."""
    from workers.serve.engines.upstream.llama_cpp import LlamaCpp

    return UpstreamCore(LlamaCpp())


def vllm() -> UpstreamCore:
    """The server of vLLM."""
    from workers.serve.engines.upstream.vllm import Vllm

    return UpstreamCore(Vllm())

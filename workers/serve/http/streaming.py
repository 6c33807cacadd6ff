"""Server-sent events, and noticing that a client went away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_S = 15.0
DONE = b"data: [DONE]\n\n"
_PING = b": ping\n\n"
_T = TypeVar("_T")


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


def event(document: dict[str, Any]) -> bytes:
    """One `data:` event."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


async def watched(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Do `work` while the client waits.

    Raises:
        ClientLeft: the client went away; the work was cancelled.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_left(request.receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientLeft
        return doing.result()
    finally:
        await _cancel(doing, leaving)


class EventStream(Response):
    """An ASGI response that sends events as they come, pings while none come, and ends at once
    when the client leaves.

    Args:
        chunks: encoded events; closed in every case.
        on_end: called once; true when everything was sent.
    """

    def __init__(self, chunks: AsyncGenerator[bytes], on_end: Callable[[bool], None]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"
        self._chunks = chunks
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(_until_left(receive))
        complete = False
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            complete = writing.done() and writing.exception() is None
        finally:
            await _cancel(writing, leaving)
            self._on_end(complete)

    async def _write(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with contextlib.aclosing(_with_pings(self._chunks)) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _with_pings(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Comments keep proxies and clients from giving up on a slow answer."""
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({upcoming}, timeout=PING_S)
            if not done:
                yield _PING
                continue
            ready, upcoming = upcoming, None
            try:
                chunk = ready.result()
            except StopAsyncIteration:
                return
            yield chunk
    finally:
        if upcoming is not None:
            await _cancel(upcoming)
        await chunks.aclose()


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

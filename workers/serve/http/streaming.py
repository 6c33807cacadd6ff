"""Server-sent events, and noticing that a client went away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def encoded(document: dict[str, Any]) -> bytes:
    """JSON as bytes; halves of surrogates, which UTF-8 cannot say, are escaped."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


def event(document: dict[str, Any]) -> bytes:
    """One `data:` event."""
    return b"data: " + encoded(document) + b"\n\n"


class Presence:
    """Whether the client is still there. Made once its body was read; `close` ends the watch."""

    def __init__(self, receive: Receive) -> None:
        self._when_left: list[Callable[[], None]] = []
        self.left = False
        self._watch = asyncio.ensure_future(self._until_left(receive))

    def when_left(self, call: Callable[[], None]) -> None:
        """Call this when the client goes away; at once when it is gone."""
        if self.left:
            call()
        else:
            self._when_left.append(call)

    def close(self) -> None:
        """Nobody needs to know any more."""
        self._when_left.clear()
        self._watch.cancel()

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        for call in self._when_left:
            call()


class EventStream(Response):
    """An ASGI response that sends blocks of events as they come.

    Args:
        blocks: encoded events; closed in every case.
        on_end: called once, whatever happened; true when everything was sent.
    """

    def __init__(self, blocks: AsyncGenerator[bytes], on_end: Callable[[bool], None]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"
        self._blocks = blocks
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        complete = False
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async for block in self._blocks:
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            complete = True
        finally:
            try:
                await self._blocks.aclose()
            finally:
                self._on_end(complete)

"""Bodies of requests: read whole before a route sees them, within a size, a time and a depth.

So no route can forget a limit, and what parses JSON never meets one that is built to hurt it.
"""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.types import Message, Receive

from workers.serve.http.errors import ApiError, bad_value, unavailable

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 32
"""Of brackets in JSON; a tool's schema inside a request needs about a dozen."""
MAX_ALL_BYTES = 128 * 1024 * 1024
"""Of all bodies that are on their way together."""
PATIENCE_S = 30.0
"""For a whole body; an honest client of 2 MB needs less than one on any network."""

_OPENING, _CLOSING, _QUOTE, _BACKSLASH = b"[{", b"]}", 0x22, 0x5C


class BodyReader:
    """Reads bodies; all of them together stay under a limit.

    Args:
        max_bytes: of one body.
        max_all_bytes: of all on their way.
        patience_s: for one.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BODY_BYTES,
        max_all_bytes: int = MAX_ALL_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._max_bytes, self._max_all, self._patience_s = max_bytes, max_all_bytes, patience_s
        self._under_way = 0

    async def read(self, receive: Receive) -> Receive | None:
        """The body, checked, as a `receive` that gives it again; None when the client left.

        Raises:
            ApiError: 413 too large, 408 too slow, 400 too deep, 503 too many at once.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                body = await self._collect(receive)
        except TimeoutError as e:
            raise ApiError(408, "the body took too long", code="body_too_slow") from e
        if body is None:
            return None
        check_depth(body)
        return _again(body, receive)

    async def _collect(self, receive: Receive) -> bytes | None:
        pieces: list[bytes] = []
        total = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                piece = message.get("body", b"")
                pieces.append(piece)
                total += len(piece)
                self._under_way += len(piece)
                if total > self._max_bytes:
                    raise too_large(self._max_bytes)
                if self._under_way > self._max_all:
                    raise unavailable("too many large bodies at once", "bodies_too_large")
                if not message.get("more_body", False):
                    return b"".join(pieces)
        finally:
            self._under_way -= total


def too_large(limit: int = MAX_BODY_BYTES) -> ApiError:
    """413."""
    return ApiError(413, f"the body is above {limit} bytes", code="body_too_large")


def check_depth(body: bytes, limit: int = MAX_DEPTH) -> None:
    """Refuse JSON that is nested too deep, before it is parsed.

    Raises:
        ApiError: 400.
    """
    opened = sum(body.count(bytes([b])) for b in _OPENING)
    if opened > limit and depth_of(body) > limit:
        raise bad_value(f"the JSON is nested deeper than {limit}")


def depth_of(body: bytes) -> int:
    """How deep brackets are nested, those in strings left out; for any bytes, in linear time."""
    data = np.frombuffer(body, dtype=np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    quotes = quotes[~_escaped(data, quotes)]
    marks = np.zeros(len(data) + 1, dtype=np.int8)
    marks[quotes] = 1
    inside = (np.cumsum(marks[:-1], dtype=np.int32) & 1).astype(bool)
    steps = np.isin(data, list(_OPENING)).astype(np.int32)
    steps -= np.isin(data, list(_CLOSING))
    steps[inside] = 0
    return int(np.cumsum(steps).max(initial=0))


def _escaped(data: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Which quotes have an odd number of backslashes right before them."""
    others = np.flatnonzero(data != _BACKSLASH)
    # The last byte before each quote that is no backslash; everything between is one.
    before = np.searchsorted(others, quotes) - 1
    last = np.where(before >= 0, others[np.maximum(before, 0)], -1) if len(others) else quotes - 1
    return np.asarray((quotes - last - 1) % 2 == 1)


def _again(body: bytes, receive: Receive) -> Receive:
    """What a route asks for: the body once, then whatever comes after it (the client's leaving)."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving

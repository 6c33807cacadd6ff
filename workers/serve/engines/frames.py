"""The channel between front and engine: a 4-byte little-endian length and JSON. No pickle.

A frame that is torn, too long or no JSON object is the end of the channel: whoever wrote it is
gone or broken, and nothing behind it can be trusted.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, BinaryIO

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEAD_BYTES = 4

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One frame.

    Raises:
        ValueError: longer than `MAX_FRAME_BYTES`.
    """
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return len(body).to_bytes(_HEAD_BYTES, "little") + body


def read(stream: BinaryIO) -> Message | None:
    """The next message of a blocking stream; None at its end."""
    head = stream.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES or not _acceptable(size := int.from_bytes(head, "little")):
        return None
    body = stream.read(size)
    return _decode(body) if len(body) == size else None


async def read_async(stream: asyncio.StreamReader) -> Message | None:
    """The next message of an asyncio stream; None at its end."""
    try:
        size = int.from_bytes(await stream.readexactly(_HEAD_BYTES), "little")
        return _decode(await stream.readexactly(size)) if _acceptable(size) else None
    except (asyncio.IncompleteReadError, OSError):
        return None


def _acceptable(size: int) -> bool:
    if size > MAX_FRAME_BYTES:
        log.error("a frame claims %d bytes; the channel is closed", size)
    return size <= MAX_FRAME_BYTES


def _decode(body: bytes) -> Message | None:
    try:
        message = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one
        message = None
    if not isinstance(message, dict):
        log.error("a frame that is no JSON object; the channel is closed")
        return None
    return message

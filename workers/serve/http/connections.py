"""Connections that give nothing and take nothing are ended: uvicorn alone would keep them for ever.

A client that sends its headers byte by byte, or never reads its answer, costs a socket and what is
held for it. Here a head has a time, an unread answer has a time, and there is a most of all
connections together. What is not HTTP gets an error that a client of OpenAI's can read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import h11

from workers.serve.http.errors import ApiError
from workers.serve.http.gathered import GatheredProtocol

log = logging.getLogger(__name__)

HEAD_S = 20.0
"""For a request's line and headers, from the connection or from their first byte."""
UNREAD_S = 60.0
"""For a client that takes nothing although its answer waits."""
MOST_CONNECTIONS = 4096
_SPARE_FILES = 128


def most_connections() -> int:
    """As many as the system gives files for; the limit is raised where that needs no rights."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(MOST_CONNECTIONS, max(16, soft - _SPARE_FILES))


def patient_protocol() -> type[PatientProtocol]:
    """What `uvicorn.Config(http=...)` takes; as many connections as this process may have."""
    PatientProtocol.most = most_connections()
    return PatientProtocol


class PatientProtocol(GatheredProtocol):
    """uvicorn's HTTP/1.1 with an end to its patience."""

    head_s = HEAD_S
    unread_s = UNREAD_S
    most = MOST_CONNECTIONS

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._timer = self._in(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A head that is not whole yet keeps its time; a whole one ends it."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_head()
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self._in(self.head_s)

    def pause_writing(self) -> None:
        """The client does not read: it has some time."""
        super().pause_writing()
        self._unread = self._unread or self._in(self.unread_s)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """Not HTTP, or headers without end."""
        error = ApiError(400, "this is no valid HTTP request, or its headers are too long",
                         code="bad_http")  # fmt: skip
        body = json.dumps(error.body()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        head = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _in(self, seconds: float) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        """At once: a close would wait for a client that does not read."""
        self.transport.abort()

    def _stop_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop(self) -> None:
        self._stop_head()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

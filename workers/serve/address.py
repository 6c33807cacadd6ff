"""The address a server listens on, taken before the model is loaded."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys

from core.errors import AppError, ErrorCode

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_BACKLOG = 1024


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Listening at once, not only bound: two servers may both bind, only one may listen.

    Raises:
        AppError: `serve.port_in_use` or `serve.host_unavailable`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as e:
        raise AppError(ErrorCode.HOST_UNAVAILABLE, host=host, detail=str(e)) from e
    try:
        _set_reuse(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as e:
        listener.close()
        if e.errno == errno.EADDRINUSE:
            raise AppError(ErrorCode.PORT_IN_USE, host=host, port=port, detail=str(e)) from e
        raise AppError(ErrorCode.HOST_UNAVAILABLE, host=host, detail=str(e)) from e
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds it."""
    host, port = listener.getsockname()[:2]
    host = _WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _set_reuse(listener: socket.socket) -> None:
    """A port in TIME_WAIT is free; on Windows the same option would steal a living one."""
    if sys.platform == "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        return
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

"""Who may ask: host names, origins, key, type and size of bodies. Pure ASGI, no wrapping.

`BaseHTTPMiddleware` would hide a client's leaving from the routes behind it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.serve.http.errors import ApiError, bad_value

MAX_BODY_BYTES = 2 * 1024 * 1024
OPEN_PATHS = frozenset({"/health"})
_HOST = re.compile(r"([\w.\-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def host_name(value: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty when malformed."""
    if not _HOST.fullmatch(value):
        return ""
    try:
        return (urlsplit(f"//{value}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


class SecurityMiddleware:
    """Answers what may not pass; hands on the rest, bodies counted.

    Args:
        app: what is behind.
        key: the API key; compared in constant time.
        allowed_hosts: names accepted beside the loopback ones. Checking them keeps a web page
            from reaching the API by rebinding its own name to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, key: str, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._key = key.encode()
        self._allowed = frozenset(host_name(h) for h in allowed_hosts) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self._check(scope, Headers(scope=scope))
            await self._app(scope, _counted(receive), send)
        except ApiError as e:
            await e.response()(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if host_name(host) not in LOOPBACK_NAMES | self._allowed:
            raise ApiError(403, "this host name is not allowed here", code="host_not_allowed")
        self._check_origin(headers.get("origin"), host)
        if scope["path"] not in OPEN_PATHS:
            self._check_key(headers)
        if scope["method"] == "POST":
            _check_body(headers)

    def _check_origin(self, origin: str | None, host: str) -> None:
        """Programs send none; pages of other sites have no business here."""
        if origin is None:
            return
        parts = urlsplit(origin)
        if parts.netloc.lower() == host.lower() or (parts.hostname or "") in self._allowed:
            return
        raise ApiError(403, "pages of this origin are not allowed", code="origin_not_allowed")

    def _check_key(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise ApiError(
                401,
                "send the API key as 'Authorization: Bearer <key>'; DeepDeck shows it on the "
                "Deploy page",
                code="missing_api_key",
            )
        if not hmac.compare_digest(given.strip().encode(), self._key):
            raise ApiError(401, "the API key is wrong", code="invalid_api_key")


def _check_body(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_value("the body must be application/json", "content-type")
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise bad_value("content-length is not a number", "content-length")
    if int(length) > MAX_BODY_BYTES:
        raise _too_large()


def _too_large() -> ApiError:
    return ApiError(413, f"the body is above {MAX_BODY_BYTES} bytes", code="body_too_large")


def _counted(receive: Receive) -> Receive:
    """Bodies that do not say their length are counted while they come."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return counting

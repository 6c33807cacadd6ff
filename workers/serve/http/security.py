"""The door: host names, origins, keys, sizes. Pure ASGI, no wrapping of what it lets through.

`BaseHTTPMiddleware` would hide a client's leaving from the routes behind it. Everything is closed
that is not named here as open, so a new route cannot be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.services.serve_address import reachable_addresses
from workers.serve.http.bodies import MAX_BODY_BYTES, BodyReader, too_large
from workers.serve.http.call import GRANT
from workers.serve.http.errors import ApiError, bad_value
from workers.serve.http.keys import KeyRing
from workers.serve.http.state import ServerState

OPEN_PATHS = frozenset({"/health", "/health/live"})
"""Without a key: whether the server lives is no secret, and old clients ask `/health`."""
MAX_HEADER_BYTES = 32 * 1024
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_METHODS = "GET, POST, OPTIONS"
_EXPOSED = "x-request-id, retry-after"
_PREFLIGHT_S = 600
_HOST = re.compile(r"([\w.\-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")

Refused = Callable[[str, ApiError, str], None]
"""Told of each request turned away: path, error, client's address."""


def host_name(value: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty when malformed."""
    if not _HOST.fullmatch(value):
        return ""
    try:
        return (urlsplit(f"//{value}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def own_names(host: str) -> frozenset[str]:
    """Names under which a server that listens on `host` is asked for.

    A wildcard means all addresses of this computer. Numbers are safe to accept: rebinding needs a
    name that its owner can point elsewhere.
    """
    urls = reachable_addresses(host, 0)
    return frozenset(host_name(urlsplit(url).netloc) for url in urls) - {""}


def guarded(app: ASGIApp, state: ServerState, keys: KeyRing | str) -> ASGIApp:
    """The application behind the door that its spec describes."""
    spec = state.spec
    hosts = (*spec.allowed_hosts, *own_names(spec.host))
    return SecurityMiddleware(app, keys, hosts, spec.allowed_origins, state.refused)


class SecurityMiddleware:
    """Answers what may not pass; hands on the rest with its body read and its key known.

    Args:
        app: what is behind.
        keys: who may ask; a text is the only key.
        allowed_hosts: names accepted beside the loopback ones. Checking them keeps a web page
            from reaching the API by rebinding its own name to 127.0.0.1.
        allowed_origins: pages that may ask, such as http://localhost:3000. Never a wildcard.
        on_refused: told of what is turned away.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing | str,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        on_refused: Refused = lambda _path, _error, _client: None,
    ) -> None:
        self._app = app
        self._keys = KeyRing(None, only=keys) if isinstance(keys, str) else keys
        named = {host_name(h) or host_name(f"[{h}]") for h in allowed_hosts}
        self._hosts = LOOPBACK_NAMES | (named - {""})
        self._origins = frozenset(o.rstrip("/").lower() for o in allowed_origins) - {"*", "null"}
        self._on_refused = on_refused
        self._bodies = BodyReader()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and origin.lower() in self._origins:
            send = _for_page(send, origin)
        try:
            passed = await self._let_in(scope, headers, receive)
        except ApiError as e:
            self._tell(scope, e)
            await e.response()(scope, receive, send)
            return
        if isinstance(passed, Response):
            await passed(scope, receive, send)
        elif passed is not None:
            await self._app(scope, passed, send)

    async def _let_in(
        self, scope: Scope, headers: Headers, receive: Receive
    ) -> Receive | Response | None:
        """What the application reads from; an answer; or None, when the client is gone."""
        _check_size(headers)
        self._check_host(headers)
        self._check_origin(headers)
        if scope["method"] == "OPTIONS":
            return _preflight(headers)
        if scope["path"] not in OPEN_PATHS:
            scope[GRANT] = self._keys.check(_bearer(headers))
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        _check_body(scope["method"], headers)
        return await self._bodies.read(receive)

    def _check_host(self, headers: Headers) -> None:
        named = headers.getlist("host")
        if len(named) != 1 or host_name(named[0]) not in self._hosts:
            raise ApiError(403, "this host name is not allowed here", code="host_not_allowed")

    def _check_origin(self, headers: Headers) -> None:
        """Programs send none; pages of other sites have no business here."""
        origin = headers.get("origin")
        if origin is None or origin.lower() in self._origins:
            return
        if _netloc(origin) == headers.get("host", "").lower():
            return
        raise ApiError(403, "pages of this origin are not allowed", code="origin_not_allowed")

    def _tell(self, scope: Scope, error: ApiError) -> None:
        client = scope.get("client")
        self._on_refused(scope["path"], error, client[0] if client else "")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _bearer(headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise ApiError(
            401,
            "send the API key as 'Authorization: Bearer <key>'; DeepDeck shows it on the "
            "Deploy page",
            code="missing_api_key",
        )
    return given.strip()


def _check_size(headers: Headers) -> None:
    if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
        raise ApiError(
            431, f"the headers are above {MAX_HEADER_BYTES} bytes", code="headers_too_large"
        )


def _check_body(method: str, headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise bad_value("content-length is not a number", "content-length")
    if int(length[:20]) > MAX_BODY_BYTES:
        raise too_large()
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and method != "DELETE":
        raise bad_value("the body must be application/json", "content-type")


def _preflight(headers: Headers) -> Response:
    """What a browser asks before a page may; it carries no key. The origin was checked."""
    answer = {"Allow": _METHODS, "Access-Control-Allow-Methods": _METHODS}
    wanted = headers.get("access-control-request-headers")
    answer["Access-Control-Allow-Headers"] = wanted or "authorization, content-type"
    answer["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
    if headers.get("access-control-request-private-network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=answer)


def _for_page(send: Send, origin: str) -> Send:
    """Let the page of an allowed origin read the answer; the origin by name, never `*`."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return sending

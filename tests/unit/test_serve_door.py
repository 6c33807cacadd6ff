"""The door: hosts, origins, keys that change while it is open, and what reaches the application."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core import api_keys, secrets
from core.api_keys import add_key, revoke_key, usage
from core.config.serve import ServeSpec
from core.paths import Home
from core.services.serve_address import reachable_addresses
from workers.serve.http.call import GRANT, Call
from workers.serve.http.errors import ApiError
from workers.serve.http.keys import LOOK_EVERY_S, KeyRing
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.security import (
    MAX_HEADER_BYTES,
    SecurityMiddleware,
    guarded,
    own_names,
)
from workers.serve.http.state import ServerState

PAGE = "http://localhost:3000"


class Behind:
    """An application that keeps what reached it."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["method"] == "POST":
            body = (await receive())["body"]
        self.reached.append((scope["path"], getattr(scope.get(GRANT), "name", ""), body))
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(door: Any, method: str, path: str, **more: Any) -> httpx.Response:
    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)

    return asyncio.run(asking())


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


# -- keys -------------------------------------------------------------------------------------


def test_each_key_is_known_by_its_name(home: Home, behind: Behind) -> None:
    phone = add_key(home, "phone").secret
    door = SecurityMiddleware(behind, KeyRing(home))
    for key in (secrets.api_key(home), phone):
        assert ask(door, "GET", "/x", headers=bearer(key)).status_code == 200
    assert [name for _, name, _ in behind.reached] == ["deepdeck", "phone"]


def test_a_key_made_revoked_or_replaced_later_counts_within_a_second(home: Home) -> None:
    clock = Clock()
    ring = KeyRing(home, clock=clock)
    own = secrets.api_key(home)
    phone = add_key(home, "phone").secret
    clock.now += LOOK_EVERY_S
    grant = ring.check(phone)
    assert (grant.name, ring.holds(grant), ring.several) == ("phone", True, True)
    revoke_key(home, "phone")
    new = secrets.new_api_key(home)
    clock.now += LOOK_EVERY_S
    assert LOOK_EVERY_S <= 1
    for old in (phone, own):
        with pytest.raises(ApiError) as refused:
            ring.check(old)
        assert refused.value.status == 401
    assert not ring.holds(grant)
    assert ring.check(new).own


def test_an_expired_key_is_told_so(home: Home) -> None:
    ring = KeyRing(home, wall=lambda: 10_000.0)
    key = add_key(home, "phone", expires_utc=10_000.0)
    other = add_key(home, "other", expires_utc=10_001.0)
    ring = KeyRing(home, wall=lambda: 10_000.0)
    with pytest.raises(ApiError) as refused:
        ring.check(key.secret)
    assert refused.value.code == "expired_api_key"
    assert ring.check(other.secret).name == "other"


def test_a_damaged_file_closes_the_door_to_named_keys_only(home: Home) -> None:
    phone = add_key(home, "phone").secret
    api_keys.keys_file(home).write_text("{")
    ring = KeyRing(home)
    with pytest.raises(ApiError):
        ring.check(phone)
    assert ring.check(secrets.api_key(home)).own


def test_prompts_are_shared_by_nobody_once_there_is_a_second_key(home: Home) -> None:
    alone = KeyRing(home)
    assert alone.namespace(alone.check(secrets.api_key(home))) == ""
    phone, laptop = add_key(home, "phone"), add_key(home, "laptop")
    ring = KeyRing(home)
    secrets_of = (secrets.api_key(home), phone.secret, laptop.secret)
    spaces = [ring.namespace(ring.check(s)) for s in secrets_of]
    assert len(set(spaces)) == 3
    assert "" not in spaces


def test_limits_outlive_a_change_of_other_keys(home: Home) -> None:
    clock = Clock()
    phone = add_key(home, "phone", requests_per_minute=1)
    ring = KeyRing(home, clock=clock)
    grant = ring.check(phone.secret)
    assert grant.key is not None
    grant.meter.reserve(grant.key, 1)
    add_key(home, "laptop")
    clock.now += LOOK_EVERY_S
    again = ring.check(phone.secret)
    with pytest.raises(ApiError) as refused:
        again.meter.reserve(phone.key, 1)
    assert refused.value.status == 429


def test_use_is_written_lazily_and_survives_a_full_disk(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = add_key(home, "phone", tokens_per_day=1000)
    ring = KeyRing(home)
    state = ServerState(ServeSpec(model="m"), ServerMetrics("m", 9), keys=ring)

    def used(tokens: int) -> None:
        call = Call(state, "/x", ring.check(phone.secret))
        call.admit(prompt_tokens=tokens, answers=1, new_tokens=5)
        call.end(200)

    used(7)
    assert usage(home) == {}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as broken:
        broken.setattr("core.atomic_io.os.fsync", full)
        state.flush_usage()
    used(5)
    state.flush_usage()
    told = usage(home)[phone.key.id]
    assert (told.requests_today, told.tokens_today) == (2, 12)
    assert time.time() - told.last_used_utc < 60
    state.flush_usage()
    assert usage(home)[phone.key.id] == told


def test_open_requests_of_a_revoked_key_are_ended(home: Home) -> None:
    clock = Clock()
    phone = add_key(home, "phone").secret
    ring = KeyRing(home, clock=clock)
    state = ServerState(ServeSpec(model="m"), ServerMetrics("m", 9), keys=ring)

    async def course() -> tuple[Call, Call]:
        theirs, own = Call(state, "/x", ring.check(phone)), Call(state, "/x")
        revoke_key(home, "phone")
        clock.now += LOOK_EVERY_S
        state.tick()
        return theirs, own

    theirs, own = asyncio.run(course())
    assert theirs.cancelled is not None
    assert theirs.cancelled.code == "invalid_api_key"
    assert own.cancelled is None


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "bearer\tx", "Bearer \u00e9", "Bearer " + "x" * 9000],
)
def test_anything_that_is_no_key_is_401(behind: Behind, header: str) -> None:
    door = SecurityMiddleware(behind, "the-right-key-of-this-server")
    response = ask(door, "GET", "/x", headers={"Authorization": header.encode("latin-1")})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["type"] == "authentication_error"
    assert behind.reached == []


def test_only_liveness_is_open(behind: Behind) -> None:
    door = SecurityMiddleware(behind, "k" * 30)
    for path in ("/health", "/health/live"):
        assert ask(door, "GET", path).status_code == 200
    for path in (
        "/health/ready",
        "/health/",
        "/health/live/",
        "/metrics",
        "/",
        "//health",
        "/Health",
    ):
        assert ask(door, "GET", path).status_code == 401, path


# -- hosts and origins --------------------------------------------------------------------------


def state_of(**spec: Any) -> ServerState:
    return ServerState(ServeSpec(model="m", **spec), ServerMetrics("m", 9))


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1:1234", True),
        ("[::1]:80", True),
        ("my-box.lan:8000", True),
        ("192.168.3.4:8000", True),
        ("192.168.3.5", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("2130706433", False),
        ("", False),
        ("[::1", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("localhost, evil.example", False),
    ],
)
def test_hosts_are_those_that_were_chosen(behind: Behind, host: str, known: bool) -> None:
    state = state_of(allowed_hosts=("my-box.lan",), host="192.168.3.4")
    response = ask(guarded(behind, state, "k" * 30), "GET", "/health", headers={"Host": host})
    assert response.status_code == (200 if known else 403)
    if not known:
        assert response.json()["error"]["code"] == "host_not_allowed"
        assert state.metrics.by_error == {"host_not_allowed": 1}


def test_two_host_headers_are_refused(behind: Behind) -> None:
    door = SecurityMiddleware(behind, "k" * 30)
    found: list[int] = []

    async def send(message: Any) -> None:
        found.append(message.get("status", 0))

    scope = {
        "type": "http", "method": "GET", "path": "/health", "client": ("127.0.0.1", 5),
        "headers": [(b"host", b"localhost"), (b"host", b"evil.example")],
    }  # fmt: skip
    asyncio.run(door(scope, None, send))  # type: ignore[arg-type]
    assert found[0] == 403


def test_a_server_for_the_network_is_known_by_its_own_addresses(behind: Behind) -> None:
    assert own_names("127.0.0.1") == own_names("localhost") == own_names("::1") == set()
    assert own_names("fd00::7") == {"fd00::7"}
    door = guarded(behind, state_of(host="0.0.0.0"), "k" * 30)
    for url in reachable_addresses("0.0.0.0", 8000):
        host = url.removeprefix("http://")
        assert ask(door, "GET", "/health", headers={"Host": host}).status_code == 200


def test_a_page_may_ask_when_its_origin_was_allowed(behind: Behind) -> None:
    door = SecurityMiddleware(behind, "k" * 30, allowed_origins=[PAGE])
    response = ask(door, "GET", "/x", headers=bearer("k" * 30, Origin=PAGE))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in response.headers
    refused = ask(door, "GET", "/x", headers={"Origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == PAGE  # so that the page can read why


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", PAGE + ".evil.example", "x", "["]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_pages_are_refused(behind: Behind, origin: str, method: str) -> None:
    door = SecurityMiddleware(behind, "k" * 30, allowed_origins=[PAGE, "*", "null"])
    response = ask(door, method, "/x", headers=bearer("k" * 30, Origin=origin))
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in response.headers
    assert behind.reached == []


def test_a_browser_s_question_is_answered_without_a_key(behind: Behind) -> None:
    door = SecurityMiddleware(behind, "k" * 30, allowed_origins=[PAGE + "/"])
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    response = ask(door, "OPTIONS", "/v1/chat/completions", headers=headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "x-stainless-os" in response.headers["access-control-allow-headers"]
    assert response.headers["access-control-allow-private-network"] == "true"
    assert behind.reached == []


# -- sizes --------------------------------------------------------------------------------------


def test_too_many_headers_are_refused_before_anything_else(behind: Behind) -> None:
    many = {f"x-{i}": "y" * 1000 for i in range(MAX_HEADER_BYTES // 1000 + 1)}
    headers = bearer("k" * 30, **many)
    response = ask(SecurityMiddleware(behind, "k" * 30), "GET", "/health", headers=headers)
    assert response.status_code == 431
    assert response.json()["error"]["code"] == "headers_too_large"


def test_a_stranger_s_body_is_never_read(behind: Behind) -> None:
    read = []

    async def pieces() -> Any:
        read.append(1)
        yield b"{}"

    door = SecurityMiddleware(behind, "k" * 30)
    content: Callable[[], Awaitable[bytes]] = pieces
    response = ask(
        door, "POST", "/x", content=content(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 401
    assert read == []


def test_bodies_reach_the_application_whole(behind: Behind) -> None:
    door = SecurityMiddleware(behind, "k" * 30)
    body = json.dumps({"prompt": "x" * 100_000}).encode()
    headers = bearer("k" * 30, **{"content-type": "application/json; charset=utf-8"})
    assert ask(door, "POST", "/x", content=body, headers=headers).status_code == 200
    assert behind.reached[0][2] == body


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "\u0663", "9" * 400])
def test_a_length_that_is_no_number_is_refused(behind: Behind, length: str) -> None:
    found: list[int] = []

    async def send(message: Any) -> None:
        found.append(message.get("status", 0))

    scope = {
        "type": "http", "method": "POST", "path": "/x", "client": None,
        "headers": [
            (b"host", b"localhost"), (b"authorization", b"Bearer " + b"k" * 30),
            (b"content-type", b"application/json"),
            (b"content-length", length.encode("latin-1", "replace")),
        ],
    }  # fmt: skip
    asyncio.run(SecurityMiddleware(behind, "k" * 30)(scope, None, send))  # type: ignore[arg-type]
    assert found[0] in (400, 413)

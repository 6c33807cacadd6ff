"""Every route of the OpenAPI document, asked by those who must not: strangers and foreign pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")

from core.services.serve_address import reachable_addresses
from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

PAGE = "http://localhost:3000"
OPEN = {"/health", "/health/live"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("rebinding")
    model = build_tiny(folder / "model", "llama")
    with serving(folder / "home", model, allowed_origins=(PAGE,)) as running:
        yield running


@pytest.fixture(scope="module")
def routes(server: ServerProcess) -> list[tuple[str, str]]:
    """All of them, with something in the place of parameters."""
    with server.client() as http:
        paths = http.get("/openapi.json").json()["paths"]
    found = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method in methods
    ]
    assert len(found) >= 10
    assert {path for _, path in found} >= {"/v1/chat/completions", "/metrics", "/health/live"}
    return found


def ask(server: ServerProcess, method: str, path: str, **headers: str) -> httpx.Response:
    """Without a key; a body that would be right for nobody."""
    with httpx.Client(base_url=server.url, timeout=30) as stranger:
        body: dict[str, Any] = {} if method == "GET" else {"json": {"prompt": "x"}}
        return stranger.request(method, path, headers=headers, **body)


@pytest.mark.parametrize(
    "key", ["", "Bearer", "Bearer wrong", "Bearer dd-" + "A" * 32, "Basic ZGQtOmRkLQ=="]
)
def test_no_route_answers_without_the_right_key(
    server: ServerProcess, routes: list[tuple[str, str]], key: str
) -> None:
    headers = {"Authorization": key} if key else {}
    for method, path in routes:
        response = ask(server, method, path, **headers)
        if path in OPEN:
            assert response.status_code == 200
            continue
        assert response.status_code == 401, (method, path)
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["type"] == "authentication_error"


def test_a_key_in_the_address_is_no_key(server: ServerProcess) -> None:
    for name in ("key", "api_key", "access_token"):
        assert ask(server, "GET", f"/v1/models?{name}={server.key}").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_no_route_answers_a_name_that_was_rebound(
    server: ServerProcess, routes: list[tuple[str, str]], host: str
) -> None:
    for method, path in [*routes, ("GET", "/openapi.json"), ("OPTIONS", "/v1/models")]:
        response = ask(server, method, path, Host=host, Authorization=f"Bearer {server.key}")
        assert response.status_code == 403, (method, path)
        assert response.json()["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3001"])
def test_no_route_answers_a_foreign_page(
    server: ServerProcess, routes: list[tuple[str, str]], origin: str
) -> None:
    for method, path in [*routes, ("GET", "/openapi.json"), ("OPTIONS", "/v1/models")]:
        response = ask(server, method, path, Origin=origin, Authorization=f"Bearer {server.key}")
        assert response.status_code == 403, (method, path)
        assert response.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in response.headers


def test_the_page_that_was_allowed_reads_every_answer(
    server: ServerProcess, routes: list[tuple[str, str]]
) -> None:
    for method, path in routes:
        response = ask(server, method, path, Origin=PAGE, Authorization=f"Bearer {server.key}")
        assert response.status_code not in (401, 403), (method, path)
        assert response.headers["access-control-allow-origin"] == PAGE
        asked = ask(server, "OPTIONS", path, Origin=PAGE)
        assert asked.status_code == 204
        assert "POST" in asked.headers["access-control-allow-methods"]


def test_what_was_turned_away_is_written_down_and_counted(server: ServerProcess) -> None:
    assert ask(server, "GET", "/v1/models").status_code == 401
    text = (server.run.path / "audit.jsonl").read_text()
    assert "missing_api_key" in text
    assert server.key not in text
    with server.client() as http:
        metrics = http.get("/metrics").text
    assert 'code="missing_api_key"' in metrics
    assert "/v1/models" not in metrics  # what strangers ask for makes no new names


def test_a_server_for_the_network_says_where_it_is_reached_and_keeps_its_door(
    tmp_path: Path,
) -> None:
    model = build_tiny(tmp_path / "model", "llama")
    with serving(tmp_path / "home", model, host="0.0.0.0") as open_to_all:
        ready = open_to_all.state.ready
        assert ready is not None
        port = int(ready.url.rsplit(":", 1)[1])
        assert ready.addresses == reachable_addresses("0.0.0.0", port)
        for url in ready.addresses:
            host = url.removeprefix("http://")
            assert ask(open_to_all, "GET", "/health", Host=host).status_code == 200
            assert ask(open_to_all, "GET", "/v1/models", Host=host).status_code == 401
        assert ask(open_to_all, "GET", "/health", Host="evil.example").status_code == 403
        assert ask(open_to_all, "GET", "/health", Host="10.255.255.254").status_code == 403
        assert ("other computers can reach" in open_to_all.log) == bool(ready.addresses)

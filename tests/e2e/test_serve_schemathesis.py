"""Requests made from our own OpenAPI document, good and bad ones: none is a server error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")
schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402

from tests.e2e.serve_process import ServerProcess, serving  # noqa: E402
from tests.tiny_models import build_tiny  # noqa: E402

EXAMPLES = 20
"""Of each kind for each route; always the same ones."""
MODES = ("positive", "negative")
JSON = "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("schemathesis")
    model = build_tiny(folder / "model", "llama")
    with serving(folder / "home", model, max_context_tokens=64) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: ServerProcess) -> dict[str, Any]:
    with server.client() as http:
        found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[Any]:
    schema = schemathesis.openapi.from_dict(document)
    return [found.ok() for found in schema.get_all_operations()]


def problem(response: httpx.Response, asked: str) -> str:
    """What is wrong with an answer; nothing when it is one of those that a client can handle."""
    status = response.status_code
    if status >= 500 and not (status == 503 and "retry-after" in response.headers):
        return f"{asked}: {status} {response.text[:200]}"
    if status >= 400 and not asked.startswith("GET /health"):
        error = response.json().get("error", {})
        if set(error) != {"message", "type", "param", "code"} or not error["message"]:
            return f"{asked}: {status} without an error object: {response.text[:200]}"
    return ""


def send(http: httpx.Client, case: Any) -> str:
    made = case.as_transport_kwargs(base_url=str(http.base_url))
    headers = {k: v for k, v in dict(made.pop("headers", None) or {}).items() if k.isascii()}
    headers.pop("User-Agent", None)
    headers.pop("Authorization", None)
    content = {"json": made["json"]} if "json" in made else {"content": made.get("data") or b""}
    if "content" in content:
        headers.setdefault("Content-Type", JSON)
    url = made["url"]
    asked = f"{made['method']} {url.removeprefix(str(http.base_url))} {content!r}"
    try:
        response = http.request(
            made["method"], url, headers=headers, params=made.get("params"), **content
        )
    except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError, ValueError):
        return ""  # no client can send it
    return problem(response, asked)


def each(cases: Any, check: Callable[[Any], None]) -> None:
    """Every example, the same ones each time."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def run(case: Any) -> None:
        check(case)

    run()


def cases_of(operation: Any, mode: str) -> Any:
    """A strategy of requests."""
    generation = getattr(schemathesis.GenerationMode, mode.upper())
    return operation.as_strategy(generation_mode=generation)


@pytest.mark.parametrize("mode", MODES)
def test_no_request_of_the_document_is_a_server_error(
    server: ServerProcess, document: dict[str, Any], mode: str
) -> None:
    wrong: list[str] = []
    sent = [0]
    with server.client() as http:

        def check(case: Any) -> None:
            sent[0] += 1
            if found := send(http, case):
                wrong.append(found)

        for operation in operations(document):
            # A route that takes nothing cannot be given anything wrong.
            with suppress(*([Unsatisfiable] if mode == "negative" else [])):
                each(cases_of(operation, mode), check)
    assert wrong == []
    assert sent[0] > 3 * EXAMPLES
    assert server.process.poll() is None


def test_the_document_names_every_route_s_errors(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            answers = set(told["responses"])
            assert "200" in answers, (method, path)
            if path not in ("/health", "/health/live"):
                assert {"401", "403"} <= answers, (method, path)


def test_the_engine_was_never_started_again(server: ServerProcess) -> None:
    assert not [e for e in server.events if e.kind == "serve.engine"]
    assert "Traceback" not in server.log

"""What comes in: fields that mean nothing are told, and the OpenAPI document says what is true."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

pytest.importorskip("transformers")

from tests.serve_front import Front
from workers.serve.http import ignored
from workers.serve.http.openapi import ROUTES

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def test_unknown_fields_are_listed_in_a_header_without_their_values() -> None:
    more = {"top_a": "SECRET", "store": True, "stream_options": {"include_usage": True, "odd": 1}}
    response = Front().chat(stream=True, **more)
    assert response.headers["x-deepdeck-ignored"] == "store, stream_options.odd, top_a"
    assert "SECRET" not in str(response.headers)


def test_known_fields_are_not_listed() -> None:
    known = {"temperature": 0.5, "user": "me", "n": 1, "parallel_tool_calls": True, "seed": None}
    assert "x-deepdeck-ignored" not in Front().chat(**known).headers


def test_names_that_are_no_names_cannot_write_headers() -> None:
    response = Front().chat(**{"a\r\nset-cookie: x": 1, "é": 2, "x" * 100: 3})
    assert response.status_code == 200
    assert response.headers["x-deepdeck-ignored"] == "?"
    assert "set-cookie" not in response.headers


def test_a_name_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    ignored._logged.discard("a_field_of_others")
    front = Front()
    with caplog.at_level(logging.INFO, logger=ignored.__name__):
        for _ in range(3):
            front.chat(a_field_of_others="SECRET")
    said = [r.getMessage() for r in caplog.records if "a_field_of_others" in r.getMessage()]
    assert len(said) == 1
    assert "SECRET" not in said[0]


def test_a_thousand_unknown_fields_make_a_short_header() -> None:
    response = Front().chat(**{f"f{i}": i for i in range(1000)})
    assert len(response.headers["x-deepdeck-ignored"]) < 2000


# -- the document -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = Front().ask("/openapi.json", method="GET").json()
    return found


def test_every_route_is_documented_and_every_documented_route_is_there(
    document: dict[str, Any],
) -> None:
    front = Front()
    for path, methods in document["paths"].items():
        for method in methods:
            concrete = path.replace("{model}", "tiny").replace("{request_id}", "req-1")
            answer = front.ask(concrete, method=method.upper())
            assert answer.status_code != 405, path
            assert "Not Found" not in answer.text, path
    assert {r.path for r in ROUTES} == set(document["paths"])


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    named = re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"'))
    assert set(named) <= set(schemas)
    assert len(set(named)) > 25


def test_bodies_and_answers_of_every_route_are_typed(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert "200" in operation["responses"], path
            for response in operation["responses"].values():
                for content in response["content"].values():
                    assert content["schema"], path
            assert ("requestBody" in operation) is (method == "post")


def test_the_examples_of_the_document_work(document: dict[str, Any]) -> None:
    front = Front()
    for path, methods in document["paths"].items():
        if "post" not in methods or path == "/v1/embeddings":
            continue
        body = methods["post"]["requestBody"]["content"]["application/json"]
        assert front.ask(path, body["example"]).status_code == 200, path


def test_long_answers_of_a_key_are_refused_by_name_of_the_field() -> None:
    error = Front(max_new_tokens=10).chat(max_completion_tokens=11).json()["error"]
    assert error["param"] == "max_completion_tokens"


# -- models -------------------------------------------------------------------------------------


def test_adapters_are_models_of_their_own_under_their_base() -> None:
    front = Front(adapters=(None, "law"))
    listed = front.ask("/v1/models", method="GET").json()["data"]
    assert [(m["id"], m["root"], m["parent"]) for m in listed] == [
        ("tiny", "tiny", None),
        ("tiny:law", "tiny", "tiny"),
    ]
    one = front.ask("/v1/models/tiny:law", method="GET")
    assert one.json() == listed[1]
    assert front.ask("/v1/models/tiny:tax", method="GET").status_code == 404
    front.chat(model="tiny:law")
    assert front.engine.tickets[-1].adapter == "law"

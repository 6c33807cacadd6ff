"""The OpenAPI document: bodies, answers and errors of every route, with examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from workers.serve.http import answers
from workers.serve.http.schemas import (
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    GenerateRequest,
)
from workers.serve.http.schemas_chat import ChatRequest, TokenizeRequest

Json = dict[str, Any]
_ERRORS = {
    400: "A value is wrong; `param` names it.",
    401: "No API key, or a wrong one.",
    403: "This host name, origin, key or model is not allowed.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    429: "The key's limit is reached; see Retry-After.",
    431: "The headers are too large.",
    500: "A fault of the server.",
    503: "Loading, full, stopping or restarting; see Retry-After.",
}
_ASKED = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Route:
    """One route as the document shows it."""

    method: str
    path: str
    summary: str
    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    example: Json | None = None
    streams: bool = False
    unready: type[BaseModel] = answers.ErrorAnswer
    """What comes with 503."""


ROUTES = (
    Route("post", "/v1/chat/completions", "Answer a chat", answers.ChatCompletion, ChatRequest,
          {"messages": _ASKED, "max_tokens": 16}, streams=True),
    Route("post", "/v1/completions", "Continue a text", answers.TextCompletion,
          CompletionRequest, {"prompt": "The fox", "max_tokens": 16}, streams=True),
    Route("post", "/generate", "Continue a text, plainly", answers.Generated, GenerateRequest,
          {"prompt": "The fox", "max_length": 32}, streams=True),
    Route("post", "/v1/embeddings", "Make vectors of texts", answers.EmbeddingList,
          EmbeddingRequest, {"input": ["The fox"]}),
    Route("post", "/tokenize", "Text to tokens", answers.Tokenized, TokenizeRequest,
          {"prompt": "The fox"}),
    Route("post", "/detokenize", "Tokens to text", answers.Detokenized, DetokenizeRequest,
          {"tokens": [1, 2, 3]}),
    Route("get", "/tokenizer_info", "Special tokens and template", answers.TokenizerInfo),
    Route("get", "/v1/models", "List model names", answers.ModelList),
    Route("get", "/v1/models/{model}", "One model", answers.ModelItem),
    Route("get", "/health/live", "Whether the server lives", answers.Alive),
    Route("get", "/health/ready", "Whether requests are answered", answers.Health,
          unready=answers.Health),
    Route("get", "/health", "The same", answers.Health, unready=answers.Health),
    Route("get", "/metrics", "Prometheus text", None),
    Route("get", "/v1/deepdeck/requests/{request_id}", "A remembered request",
          answers.RememberedRequest),
)  # fmt: skip
_OPEN = frozenset({"/health", "/health/live"})


def described(plain: Callable[[], Json]) -> Callable[[], Json]:
    """FastAPI's document with every route typed; made once, when it is first asked for."""
    made: Json = {}

    def document() -> Json:
        if not made:
            made.update(_complete(dict(plain())))
        return made

    return document


def _complete(document: Json) -> Json:
    schemas = _schemas()
    paths = dict(document.get("paths", {}))
    for route in ROUTES:
        paths.setdefault(route.path, {})
        paths[route.path] = {**paths[route.path], route.method: _operation(route)}
    return document | {
        "paths": paths,
        "components": {
            "schemas": document.get("components", {}).get("schemas", {}) | schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> Json:
    """All shapes by name; `$ref`s lead to `#/components/schemas`."""
    models: list[type[BaseModel]] = [answers.ErrorAnswer]
    models += [m for r in ROUTES for m in (r.answer, r.body, r.unready) if m is not None]
    _, document = models_json_schema(
        [(m, "validation") for m in dict.fromkeys(models)],
        ref_template="#/components/schemas/{model}",
    )
    return dict(document["$defs"])


def _operation(route: Route) -> Json:
    statuses = [s for s in _ERRORS if route.body is not None or s not in (400, 408, 413, 429)]
    found: Json = {
        "summary": route.summary,
        "operationId": f"{route.method}{route.path}".replace("/", "_").strip("_"),
        "security": [] if route.path in _OPEN else [{"key": []}],
        "responses": {"200": _success(route)} | {str(s): _failure(route, s) for s in statuses},
    }
    if route.body is not None:
        content: Json = {"schema": _reference(route.body)}
        if route.example is not None:
            content["example"] = route.example
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    names = [p[1:-1] for p in route.path.split("/") if p.startswith("{")]
    if names:
        found["parameters"] = [
            {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
        ]
    return found


def _success(route: Route) -> Json:
    if route.answer is None:
        content: Json = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": _reference(route.answer)}}
    if route.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"description": route.summary, "content": content}


def _failure(route: Route, status: int) -> Json:
    shape = route.unready if status == 503 else answers.ErrorAnswer
    content = {"application/json": {"schema": _reference(shape)}}
    headers = {"Retry-After": {"schema": {"type": "integer"}}} if status in (429, 503) else {}
    return {"description": _ERRORS[status], "content": content, "headers": headers}


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}

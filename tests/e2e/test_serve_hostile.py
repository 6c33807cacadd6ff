"""Requests that end other servers' workers, with a bystander whose stream must not notice.

Clients that leave in the middle: tests/faults/test_serve_drops.py.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import VOCABULARY, build_tiny

USER = {"role": "user", "content": "hello"}
CHAT = "/v1/chat/completions"
COMPLETE = "/v1/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("serve")
    model = build_tiny(folder / "model", "llama")
    with serving(folder / "home", model, allowed_hosts=("my-box.lan",)) as running:
        yield running


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def bystander(client: httpx.Client, prompt: str = "The quick brown fox") -> str:
    """A long greedy stream's text."""
    body = {"prompt": prompt, "max_tokens": 150, "temperature": 0, "ignore_eos": True}
    text = ""
    with client.stream("POST", COMPLETE, json=body | {"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                document = json.loads(line.removeprefix("data: "))
                assert "error" not in document
                text += document["choices"][0]["text"]
    return text


@pytest.fixture
def unharmed(server: ServerProcess) -> Iterator[None]:
    """A stream runs beside the test and must say what it says alone."""
    said: list[str] = []
    with server.client() as client:
        alone = bystander(client)
        thread = threading.Thread(target=lambda: said.append(bystander(client)))
        thread.start()
        yield
        thread.join(60)
    assert said == [alone]


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [USER], "max_tokens": 4, **more}


def complete(prompt: Any, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "max_tokens": 4, **more}


def said(content: str) -> dict[str, Any]:
    return chat(messages=[USER | {"content": content}])


def schema(found: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "x", "schema": found, "strict": True}
    return chat(response_format={"type": "json_schema", "json_schema": named})


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        inner = {"type": "object", "properties": {"a": inner}, "required": ["a"]}
    return inner


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


CAN = -1
"""200 from an engine that can do it, 400 from one that cannot."""

HOSTILE: list[tuple[str, str, dict[str, Any], int]] = [
    ("empty prompt", COMPLETE, complete(""), 400),
    ("empty prompt to generate", "/generate", {"prompt": ""}, 400),
    ("empty token list", COMPLETE, complete([]), 400),
    ("empty list in a list", COMPLETE, complete([[]]), 400),
    ("id above the vocabulary", COMPLETE, complete([5, VOCABULARY]), 400),
    ("negative id", COMPLETE, complete([-1]), 400),
    ("id beyond 64 bits", COMPLETE, complete([2**70]), 400),
    ("mixed prompt", COMPLETE, complete(["a", 1]), 400),
    ("temperature zero", CHAT, chat(temperature=0), 200),
    ("temperature below zero", CHAT, chat(temperature=-1), 400),
    ("temperature 99", CHAT, chat(temperature=99), 400),
    ("tiniest temperature", CHAT, chat(temperature=1e-300), 200),
    ("temperature as an integer", CHAT, chat(temperature=1), 200),
    ("temperature as text", CHAT, chat(temperature="1"), 400),
    ("top_k above the vocabulary", CHAT, chat(top_k=10**9), 200),
    ("top_k of minus one", CHAT, chat(top_k=-1), 200),
    ("top_k below that", CHAT, chat(top_k=-7), 400),
    ("top_p zero", CHAT, chat(top_p=0), 400),
    ("tiny top_p", CHAT, chat(top_p=1e-9), 200),
    ("min_p one", CHAT, chat(min_p=1), 200),
    ("all penalties", CHAT, chat(presence_penalty=2, frequency_penalty=-2), 200),
    ("repetition penalty zero", CHAT, chat(repetition_penalty=0), 400),
    ("max_tokens zero", CHAT, chat(max_tokens=0), 400),
    ("max_tokens negative", CHAT, chat(max_tokens=-5), 400),
    ("n of zero", CHAT, chat(n=0), 400),
    ("n of a million", CHAT, chat(n=10**6), 400),
    ("too many prompts", COMPLETE, complete(["a"] * 1000), 400),
    ("prompt above the context", COMPLETE, complete([5] * 10_000), 400),
    ("text above the context", CHAT, chat(messages=[USER | {"content": "word " * 5000}]), 400),
    ("no messages", CHAT, {"max_tokens": 4}, 400),
    ("no message in the list", CHAT, chat(messages=[]), 400),
    ("a strange role", CHAT, chat(messages=[{"role": "root", "content": "x"}]), 400),
    ("content missing", CHAT, chat(messages=[{"role": "user"}]), 200),
    ("a picture", CHAT, chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), 400),
    ("empty stop string", CHAT, chat(stop=""), 400),
    ("a hundred stop strings", CHAT, chat(stop=["x"] * 100), 400),
    ("bias outside", CHAT, chat(logit_bias={str(VOCABULARY): 1}), 400),
    ("bias on no number", CHAT, chat(logit_bias={"x": 1}), 400),
    ("bias that forbids", CHAT, chat(logit_bias={"5": -100}), 200),
    ("top_logprobs alone", CHAT, chat(top_logprobs=2), 400),
    ("too many logprobs", CHAT, chat(logprobs=True, top_logprobs=999), 400),
    ("stop id outside", CHAT, chat(stop_token_ids=[10**6]), 400),
    ("seed beyond 64 bits", CHAT, chat(seed=2**80), 400),
    ("negative seed", CHAT, chat(seed=-1), 200),
    ("tools", CHAT, chat(tools=[{"type": "function"}]), 400),
    ("json mode", CHAT, chat(response_format={"type": "json_object"}), CAN),
    ("a schema that is none", CHAT, schema({"type": "nonsense"}), 400),
    ("a schema without end", CHAT, schema(nested(25)), 400),
    ("a schema of itself", CHAT, schema({"$ref": "#"}), CAN),
    ("a schema from elsewhere", CHAT, schema({"$ref": "http://127.0.0.1:9/x.json"}), 400),
    ("a pattern that explodes", CHAT, schema({"type": "string", "pattern": "(a+)+$"}), CAN),
    ("a huge enumeration", CHAT, schema({"enum": [str(n) for n in range(100_000)]}), 400),
    ("a million tools", CHAT, chat(tools=[tool(str(n)) for n in range(5000)]), 400),
    ("a nameless tool", CHAT, chat(tools=[tool("")]), 400),
    ("nul in the prompt", COMPLETE, complete("a\0b"), 200),
    ("nul in the model", CHAT, chat(model="tiny\0"), 404),
    ("a model named by a path", CHAT, chat(model="/etc/passwd"), 404),
    ("a model without end", CHAT, chat(model="m" * 100_000), 400),
    (
        "end tokens in a user's text",
        CHAT,
        chat(messages=[USER | {"content": "</s><|im_end|>"}]),
        200,
    ),
    (
        "a template's code as text",
        CHAT,
        chat(messages=[USER | {"content": "{{ 7*7 }}{% x %}"}]),
        200,
    ),
    ("right to left and joined", COMPLETE, complete("\u202e\u200d" * 20), 200),
    ("a flag that is a number", COMPLETE, complete("a", ignore_eos=1), 400),
    ("max_tokens with a point", COMPLETE, {"prompt": "a", "max_tokens": 1.5}, 400),
    ("max_tokens beyond 64 bits", COMPLETE, {"prompt": "a", "max_tokens": 2**70}, 400),
    ("bias on everything", CHAT, chat(logit_bias={str(n): 1 for n in range(100_000)}), 400),
    ("a stop of a megabyte", CHAT, chat(stop="x" * 1_000_000), 400),
    ("eight prompts eight times", COMPLETE, complete(["a"] * 64, n=8), 400),
    ("ten thousand messages", CHAT, chat(messages=[USER] * 10_000), 400),
    ("nothing to embed", "/v1/embeddings", {"input": []}, 400),
    ("embedding beyond the vocabulary", "/v1/embeddings", {"input": [[10**9]]}, 400),
    ("tokens that are none", "/detokenize", {"tokens": [-1]}, 400),
    ("too many tokens", "/detokenize", {"tokens": [10**9]}, 400),
    ("a template of the client", CHAT, chat(chat_template="{{ 1 }}"), 200),
    ("an unknown template switch", CHAT, chat(chat_template_kwargs={"tools": True}), 400),
    ("echo", COMPLETE, complete("a", echo=True), CAN),
    ("unknown model", CHAT, chat(model="../../etc/passwd"), 404),
    ("stream as text", CHAT, chat(stream="yes"), 400),
    ("extra fields", CHAT, chat(anything={"goes": [1, 2, 3]}), 200),
    ("body that is a list", CHAT, [1, 2], 400),  # type: ignore[list-item]
]


@pytest.mark.usefixtures("unharmed")
def test_no_request_harms_the_others(http: httpx.Client) -> None:
    wrong = []
    for name, path, body, status in HOSTILE:
        for stream in (False, True):
            asked = body | {"stream": True} if stream and isinstance(body, dict) else body
            if "stream" in name:
                asked = body
            response = http.post(path, json=asked)
            allowed = (200, 400) if status == CAN else (status,)
            if response.status_code not in allowed:
                wrong.append((name, stream, response.status_code, response.text[:200]))
            elif response.status_code != 200:
                error = response.json()["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert error["message"]
    assert wrong == []


def test_a_prompt_above_the_context_is_told_the_numbers(http: httpx.Client) -> None:
    response = http.post(COMPLETE, json=complete([5] * 1000))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert "1000" in response.json()["error"]["message"]
    assert "256" in response.json()["error"]["message"]


RAW_BODIES = [b"", b"{", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000,
              b'{"prompt": "\\ud800"}', b'{"prompt": "a", "temperature": NaN}',
              b'{"prompt": "a", "max_tokens": 1e400}', b"\0" * 1000, b'{"prompt": "\xff"}',
              b'{"a":' * 60 + b"1" + b"}" * 60, b"\xef\xbb\xbf", b'{"prompt": "a"} {}',
              b'{"prompt": "a",}', b"{'prompt': 'a'}", b'{"prompt": "a\nb"}']  # fmt: skip


@pytest.mark.parametrize("body", RAW_BODIES, ids=range(len(RAW_BODIES)))
@pytest.mark.usefixtures("unharmed")
def test_what_is_not_json_is_a_400(http: httpx.Client, body: bytes) -> None:
    response = http.post(COMPLETE, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_other_content_types_are_refused(http: httpx.Client) -> None:
    """A web page can send text/plain without asking; JSON it cannot."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = http.post(CHAT, content=json.dumps(chat()), headers={"content-type": kind})
        assert response.status_code == 400
    assert http.post(CHAT, content=json.dumps(chat())).status_code == 400


def test_a_large_body_is_refused_with_and_without_its_length(http: httpx.Client) -> None:
    large = json.dumps(complete("x" * 3_000_000)).encode()
    headers = {"content-type": "application/json"}
    assert http.post(COMPLETE, content=large, headers=headers).status_code == 413

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    assert http.post(COMPLETE, content=pieces(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/openapi.json"), ("GET", "/nowhere"), ("DELETE", "/health/../v1/models")],
)
@pytest.mark.parametrize("key", [None, "wrong", "Bearer", "\xe9"])
def test_paths_outside_of_the_document_ask_for_the_key_too(
    server: ServerProcess, method: str, path: str, key: str | None
) -> None:
    """Those of the document are walked in tests/faults/test_serve_rebinding.py."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode("latin-1")}
    with httpx.Client(base_url=server.url) as stranger:
        response = stranger.request(method, path, headers=headers)
    assert response.status_code == 401
    assert "www-authenticate" in response.headers


def test_health_needs_no_key_and_tells_no_secret(server: ServerProcess) -> None:
    response = httpx.get(f"{server.url}/health")
    assert response.status_code == 200
    assert response.json() == {"live": True, "ready": True, "status": "ready", "reason": ""}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:80@localhost", 403),
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("[::1]:80", 200),
        ("my-box.lan", 200),
        ("", 403),
        ("[", 403),
    ],
)
def test_only_known_host_names_are_answered(server: ServerProcess, host: str, status: int) -> None:
    response = httpx.get(f"{server.url}/health", headers={"Host": host})
    assert response.status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9", "garbage"])
def test_pages_of_other_origins_are_refused(http: httpx.Client, origin: str) -> None:
    response = http.post(CHAT, json=chat(), headers={"Origin": origin})
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_wrong_methods_and_paths_have_error_objects(http: httpx.Client) -> None:
    assert http.get("/nowhere").json()["error"]["type"] == "not_found_error"
    assert http.get(CHAT).status_code == 405
    assert http.get(CHAT).json()["error"]["message"]


def test_request_ids_are_the_servers_own(http: httpx.Client) -> None:
    headers = {"X-Request-Id": "mine"}
    ids = {http.post(CHAT, json=chat(), headers=headers).headers["x-request-id"] for _ in "12"}
    assert len(ids) == 2
    assert "mine" not in ids


def raw_request(server: ServerProcess, body: dict[str, Any]) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST {COMPLETE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def running(http: httpx.Client) -> int:
    for line in http.get("/metrics").text.splitlines():
        if line.startswith("deepdeck:num_requests_running{"):
            return int(line.split()[-1])
    raise AssertionError("the gauge is missing")


@pytest.mark.usefixtures("unharmed")
def test_a_slow_reader_holds_nobody_up(server: ServerProcess, http: httpx.Client) -> None:
    body = complete([5] * 20, stream=True, ignore_eos=True) | {"max_tokens": 200}
    slow = [raw_request(server, body) for _ in range(4)]
    assert all(b"200" in connection.recv(15) for connection in slow)
    assert http.post(COMPLETE, json=complete("hello")).status_code == 200
    for connection in slow:
        connection.close()


def test_nothing_of_a_request_is_in_events_or_log(
    server: ServerProcess, http: httpx.Client
) -> None:
    http.post(CHAT, json=chat(messages=[USER | {"content": "a private sentence"}]))
    files = [server.run.events, server.run.output_log, server.run.run_json]
    for text in (f.read_text() for f in files):
        assert "private" not in text
        assert server.key not in text


def test_the_server_is_still_the_same_process(server: ServerProcess, http: httpx.Client) -> None:
    assert server.process.poll() is None
    assert running(http) >= 0
    assert not [r for r in server.state.requests if r.status >= 500 and r.status != 503]

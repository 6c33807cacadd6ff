"""Named keys over HTTP: who they are, what they may use, and how soon they are gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")

from core.api_keys import NewKey, add_key, keys_file, revoke_key, usage
from core.paths import Home
from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

COMPLETE = "/v1/completions"
SMALL = {"prompt": [5, 6, 7], "max_tokens": 2, "ignore_eos": True}
LONG = {"prompt": [5] * 8, "max_tokens": 30_000, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("serve") / "home")


@pytest.fixture(scope="module")
def server(place: Home) -> Iterator[ServerProcess]:
    model = build_tiny(place.root.parent / "model", "llama", max_position_embeddings=40_000)
    with serving(place.root, model, max_new_tokens=40_000, queue_limit=8) as running:
        yield running


def as_key(server: ServerProcess, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


def added(place: Home, server: ServerProcess, name: str, **limits: Any) -> NewKey:
    """A key that the server knows."""
    made = add_key(place, name, **limits)
    with as_key(server, made.secret) as http:
        wait_for(lambda: http.get("/v1/models").status_code == 200)
    return made


def wait_for(true: Any, tries: int = 200) -> None:
    for _ in range(tries):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def test_a_key_made_while_serving_is_accepted_and_named(place: Home, server: ServerProcess) -> None:
    made = added(place, server, "phone")
    with as_key(server, made.secret) as http:
        assert http.post(COMPLETE, json=SMALL).status_code == 200
    wait_for(lambda: any(r.key_name == "phone" for r in server.state.requests))
    line = json.loads((server.run.path / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["key"], line["status"]) == ("phone", 200)


def test_a_revoked_key_is_refused_and_its_stream_ended(place: Home, server: ServerProcess) -> None:
    made = added(place, server, "lost phone")
    said: list[str] = []

    def stream() -> None:
        with as_key(server, made.secret) as http, http.stream("POST", COMPLETE, json=LONG) as r:
            said.extend(r.iter_lines())

    reading = threading.Thread(target=stream)
    reading.start()
    wait_for(lambda: len(said) > 2)
    revoke_key(place, "lost phone")
    reading.join(30)
    assert not reading.is_alive()
    errors = [json.loads(s.removeprefix("data: ")) for s in said if '"error"' in s]
    assert errors[0]["error"]["code"] == "invalid_api_key"
    assert said[-1] == "" or said[-1] == "data: [DONE]"
    with as_key(server, made.secret) as http:
        refused = http.post(COMPLETE, json=SMALL)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_an_expired_key_is_told_so(place: Home, server: ServerProcess) -> None:
    old = add_key(place, "old", expires_utc=time.time() - 1)
    with as_key(server, old.secret) as http:
        wait_for(lambda: http.get("/v1/models").json()["error"]["code"] == "expired_api_key")


def test_requests_a_minute_are_counted_and_the_wait_is_told(
    place: Home, server: ServerProcess
) -> None:
    made = added(place, server, "slow", requests_per_minute=2)
    with as_key(server, made.secret) as http:
        found = [http.post(COMPLETE, json=SMALL) for _ in range(3)]
    assert [r.status_code for r in found] == [200, 200, 429]
    assert found[2].json()["error"]["type"] == "rate_limit_error"
    assert found[2].json()["error"]["code"] == "requests_per_minute"
    assert 1 <= int(found[2].headers["retry-after"]) <= 60


def test_tokens_are_counted_and_written_down(place: Home, server: ServerProcess) -> None:
    made = added(place, server, "counted", tokens_per_day=100)
    with as_key(server, made.secret) as http:
        assert http.post(COMPLETE, json=SMALL | {"max_tokens": 60}).status_code == 200
        refused = http.post(COMPLETE, json=SMALL | {"max_tokens": 60})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "tokens_per_day")
        assert http.post(COMPLETE, json=SMALL).status_code == 200
    wait_for(lambda: made.key.id in usage(place))
    wait_for(lambda: usage(place)[made.key.id].tokens_today == 63 + 5)


def test_a_key_for_one_model_may_not_use_another(place: Home, server: ServerProcess) -> None:
    made = added(place, server, "narrow", models=("tiny:mine",))
    with as_key(server, made.secret) as http:
        refused = http.post(COMPLETE, json=SMALL)
        unknown = http.post(COMPLETE, json=SMALL | {"model": "tiny:mine"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert unknown.status_code == 404


def test_only_the_window_s_own_key_reads_remembered_requests(
    place: Home, server: ServerProcess
) -> None:
    made = added(place, server, "curious")
    with as_key(server, made.secret) as http, server.client() as own:
        asked = http.post(COMPLETE, json={"prompt": "my words", "max_tokens": 2})
        path = f"/v1/deepdeck/requests/{asked.headers['x-request-id']}"
        refused = http.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "owner_only")
        found = own.get(path).json()
        assert found["request"]["prompt"] == "my words"
        assert found["answers"][0]["content"] == asked.json()["choices"][0]["text"]
        missing = own.get("/v1/deepdeck/requests/req-none")
        assert missing.status_code == 404
        assert missing.json()["error"]["message"]


def test_no_secret_is_in_any_file_of_the_run(place: Home, server: ServerProcess) -> None:
    made = added(place, server, "secret keeper")
    with as_key(server, made.secret) as http:
        http.post(COMPLETE, json=SMALL)
        http.get(f"/v1/models?key={made.secret[:10]}")
    for path in server.run.path.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert made.secret.encode() not in text, path
            assert server.key.encode() not in text, path
    assert made.secret not in keys_file(place).read_text()


def test_one_key_cannot_take_the_whole_queue(place: Home, server: ServerProcess) -> None:
    """While a greedy key fills the queue, another one still gets its place."""
    greedy, modest = added(place, server, "greedy"), added(place, server, "modest")
    statuses: list[int] = []
    leave = threading.Event()

    def hold() -> None:
        with as_key(server, greedy.secret) as http, http.stream("POST", COMPLETE, json=LONG) as r:
            statuses.append(r.status_code)
            for _ in r.iter_lines():
                if leave.is_set():
                    return

    threads = [threading.Thread(target=hold) for _ in range(16 + 12)]
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: statuses.count(429) >= 1, tries=600)
        refused: list[httpx.Response] = []

        def ask() -> None:
            with as_key(server, modest.secret) as http:
                refused.append(http.post(COMPLETE, json=SMALL | {"stream": True}))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: any(
            r.key_name == "modest" and r.state == "queued"
            for r in (server.state.stats.open_requests if server.state.stats else ())
        ), tries=600)  # fmt: skip
    finally:
        leave.set()
        for thread in threads:
            thread.join(60)
    asking.join(60)
    assert [r.status_code for r in refused] == [200]

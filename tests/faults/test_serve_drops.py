"""Clients that go away in the middle: their places are free at once, and nobody else notices."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")

from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

COMPLETE, CHAT = "/v1/completions", "/v1/chat/completions"
ENDLESS = 60_000
PLACES = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("drops")
    model = build_tiny(folder / "model", "llama", max_position_embeddings=ENDLESS + 64)
    spec = {"max_new_tokens": ENDLESS, "max_batch_size": PLACES, "queue_limit": 64}
    with serving(folder / "home", model, **spec) as running:
        yield running


def wait_until(true: Callable[[], bool], tries: int = 600) -> None:
    for _ in range(tries):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def gauge(http: httpx.Client, name: str) -> int:
    lines = http.get("/metrics").text.splitlines()
    return next(int(x.split()[-1]) for x in lines if x.startswith(f"deepdeck:{name}{{"))


def asked(server: ServerProcess, path: str, body: dict[str, Any]) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def endless(**more: Any) -> dict[str, Any]:
    return {"prompt": [5] * 6, "max_tokens": ENDLESS, "ignore_eos": True, **more}


def reset(connection: socket.socket) -> None:
    """As a process that is killed: no goodbye, a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def bystander(http: httpx.Client) -> str:
    body = {"prompt": [9] * 5, "max_tokens": 300, "ignore_eos": True, "temperature": 0}
    answer: str = http.post(COMPLETE, json=body).json()["choices"][0]["text"]
    return answer


def test_clients_that_leave_at_random_tokens_free_their_places(server: ServerProcess) -> None:
    """All of these would run for minutes; each leaves after another number of pieces."""
    chance = random.Random(7)
    before = len(server.state.requests)
    said: list[str] = []
    with server.client() as http:
        alone = bystander(http)
        beside = threading.Thread(target=lambda: said.append(bystander(http)))
        beside.start()
        for number in range(24):
            stream, n = number % 3 != 2, 1 + number % 2
            connection = asked(server, COMPLETE, endless(stream=stream, n=n))
            if stream:
                for _ in range(chance.randrange(1, 6)):
                    assert connection.recv(chance.randrange(1, 400))
            else:
                wait_until(lambda: gauge(http, "num_requests_running") >= 1)
            (reset if number % 2 else socket.socket.close)(connection)
        beside.join(60)
        wait_until(lambda: gauge(http, "num_requests_open") == 0)
        wait_until(lambda: gauge(http, "num_requests_running") == 0)
        assert gauge(http, "num_requests_waiting") == 0
    assert said == [alone]
    wait_until(lambda: len(server.state.requests) >= before + 26)
    left = [r for r in server.state.requests[before:] if r.status == 499]
    assert len(left) == 24
    assert all(r.completion_tokens < ENDLESS for r in left)


def test_those_who_leave_the_queue_never_take_a_place(server: ServerProcess) -> None:
    with server.client() as http:
        running = [asked(server, COMPLETE, endless(stream=True)) for _ in range(PLACES)]
        wait_until(lambda: gauge(http, "num_requests_running") == PLACES)
        waiting = [asked(server, COMPLETE, endless()) for _ in range(6)]
        wait_until(lambda: gauge(http, "num_requests_waiting") == 6)
        for connection in waiting:
            connection.close()
        wait_until(lambda: gauge(http, "num_requests_waiting") == 0)
        assert gauge(http, "num_requests_running") == PLACES
        for connection in running:
            connection.close()
        wait_until(lambda: gauge(http, "num_requests_running") == 0)


def test_a_body_that_never_comes_whole_starts_nothing(server: ServerProcess) -> None:
    with server.client() as http:
        before = gauge(http, "num_requests_open")
        host, port = server.url.removeprefix("http://").split(":")
        for part in (b"", b'{"prompt": "a', b'{"prompt": "abc", "max_tokens": 5'):
            connection = socket.create_connection((host, int(port)))
            head = (
                f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
            )
            connection.sendall(head.encode() + part)
            connection.shutdown(socket.SHUT_WR)
            connection.close()
        assert gauge(http, "num_requests_open") == before
        assert http.get("/v1/models").status_code == 200


def test_an_answer_is_read_by_a_client_that_closed_its_writing_side(server: ServerProcess) -> None:
    """Half-closed: nothing more is said, but the answer is waited for, or the place is freed."""
    with server.client() as http:
        connection = asked(server, COMPLETE, {"prompt": [5], "max_tokens": 3, "ignore_eos": True})
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        connection.close()
        assert found == b"" or found.startswith(b"HTTP/1.1 200")
        wait_until(lambda: gauge(http, "num_requests_open") == 0)


def test_nothing_was_started_again(server: ServerProcess) -> None:
    assert server.process.poll() is None
    assert not [e for e in server.events if e.kind == "serve.engine"]
    assert "Traceback" not in server.log

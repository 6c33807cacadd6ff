"""Clients that give nothing, take nothing or speak no HTTP, against a real uvicorn on a socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from workers.serve.address import open_listener
from workers.serve.http.connections import PatientProtocol, most_connections
from workers.serve.http.security import SecurityMiddleware

KEY = "k" * 30
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
ENDLESS = 64 * 1024 * 1024


class Impatient(PatientProtocol):
    head_s = 0.2
    unread_s = 0.2
    most = 8


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with as much as nobody can hold, when asked for /big."""
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = ENDLESS if scope["path"] == "/big" else 2
    while left > 0:
        size = min(left, 65536)
        left -= size
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": left > 0})


@contextmanager
def running(protocol: type[PatientProtocol]) -> Iterator[int]:
    listener = open_listener("127.0.0.1", 0)
    config = uvicorn.Config(
        SecurityMiddleware(app, KEY),
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=1,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(Impatient) as found:
        yield found


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def everything(connection: socket.socket) -> bytes:
    """Until the server ends the connection; a reset is an end."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def answers(port: int) -> bool:
    with connected(port) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        return everything(connection).startswith(b"HTTP/1.1 200")


def test_a_silent_connection_is_ended(port: int) -> None:
    with connected(port) as connection:
        assert everything(connection) == b""


def test_headers_without_end_are_ended_however_they_drip(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(HEAD)
        ended = False
        for number in range(200):
            try:
                connection.sendall(b"x-%d: y\r\n" % number)
            except (BrokenPipeError, ConnectionResetError):
                ended = True
                break
            time.sleep(0.02)
        assert ended


def test_the_second_request_of_a_connection_has_a_time_too(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(HEAD + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD)
        assert b"HTTP" not in everything(connection)


def test_a_connection_at_rest_between_requests_is_kept(port: int) -> None:
    with connected(port) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            found = b""
            while not found.endswith(b"0\r\n\r\n"):
                found += connection.recv(4096)
            time.sleep(0.5)  # longer than a head may take


def test_an_answer_that_nobody_reads_is_given_up(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(
            f"GET /big HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        )
        time.sleep(1)
        assert len(everything(connection)) < ENDLESS


def test_more_connections_than_there_is_room_for_are_not_taken(port: int) -> None:
    held = [connected(port) for _ in range(Impatient.most)]
    time.sleep(0.05)
    with connected(port) as one_more:
        assert everything(one_more) == b""
    for connection in held:
        connection.close()
    for _ in range(100):
        with suppress(OSError):
            if answers(port):
                return
        time.sleep(0.02)
    raise AssertionError("nobody is let in any more")


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody tries TLS
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30,
    b"\r\n" * 200_000,
    bytes(range(256)) * 100,
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_request_gets_an_error_object_or_an_end(port: int, garbage: bytes) -> None:
    with connected(port) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(garbage)
        found = everything(connection)
    if found:
        head, _, body = found.partition(b"\r\n\r\n")
        assert 400 <= int(head.split()[1]) < 500
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert answers(port)


def test_room_for_connections_is_what_the_system_gives() -> None:
    assert 16 <= most_connections() <= 4096

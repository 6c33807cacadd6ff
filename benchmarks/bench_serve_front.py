"""What the API's front costs: everything but the engine, which answers at once here.

    python benchmarks/bench_serve_front.py

Real uvicorn in a process of its own, real guards, template, tokenizer, text and JSON; the clients
are plain sockets. "floor" is the same server with an application that only sends fixed bytes: what
uvicorn, the sockets and the client take. Cost of the front: the difference, and the processor time
of the server's process a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

KEY = "sk-test"
STREAMS = 200
CHAT = "/v1/chat/completions"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--http", default="h11", choices=("h11", "httptools"))
    parser.add_argument("--profile", action="store_true", help="print the server's profile")
    args = parser.parse_args()
    message = "Please tell me what this function returns. " * 8
    chat = {"messages": [{"role": "user", "content": message}], "max_tokens": 32}
    cases = {
        "chat": (CHAT, chat),
        "chat, stream": (CHAT, chat | {"stream": True}),
        "completions, 128 ids": ("/v1/completions", {"prompt": [7] * 128, "max_tokens": 32}),
        "models": ("/v1/models", None),
    }
    for side in ("floor", "front"):
        with server(side, args) as (port, child):
            for name, (path, body) in cases.items():
                one_by_one(f"{side}: {name}", port, child, path, body, args.requests)
            if side == "front":
                together(port, child, chat, args.requests)
    with server("idle", args) as (port, child):
        idle_streams(port, child, chat)


def one_by_one(
    name: str, port: int, child: Connection, path: str, body: Any, requests: int
) -> None:
    """One client that waits for each answer."""
    data = request_bytes(path, body)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(50):
            exchange(connection, data)
        before = cpu_s(child)
        times = []
        for _ in range(requests):
            start = time.perf_counter()
            exchange(connection, data)
            times.append((time.perf_counter() - start) * 1000)
    used = (cpu_s(child) - before) / requests * 1000
    times.sort()
    print(
        f"{name:32} P50 {statistics.median(times):6.2f} ms  P99 {times[-requests // 100]:6.2f} ms"
        f"  processor {used:5.2f} ms a request",
        flush=True,
    )


def together(port: int, child: Connection, chat: Any, requests: int) -> None:
    """64 streams of 32 tokens, one token a pass: what a full engine gives the front to do."""
    data = request_bytes(CHAT, chat | {"stream": True, "max_tokens": 33})
    before, start = cpu_s(child), time.perf_counter()
    asyncio.run(_together(port, data, 64, requests))
    seconds, used = time.perf_counter() - start, cpu_s(child) - before
    print(
        f"front: 64 clients, streams of 32    {requests / seconds:6.0f} req/s "
        f"{requests * 32 / seconds:6.0f} tok/s  "
        f"processor {used / requests / 32 * 1e6:.0f} us a token",
        flush=True,
    )


async def _together(port: int, data: bytes, clients: int, requests: int) -> None:
    left = iter(range(requests))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(data)
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))


def idle_streams(port: int, child: Connection, chat: Any) -> None:
    """Streams whose engine has said one token and nothing since."""
    data = request_bytes(CHAT, chat | {"stream": True})
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(data)
        first.recv(65536)
        before = rss_mib(child)
        held = []
        for _ in range(STREAMS):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(data)
            connection.recv(65536)
            held.append(connection)
        print(
            f"{STREAMS} idle streams: {rss_mib(child) - before:.1f} MiB more than one", flush=True
        )
        for connection in held:
            connection.close()


def request_bytes(path: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def exchange(connection: socket.socket, data: bytes) -> None:
    """Send, and read to the end of the answer."""
    connection.sendall(data)
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], got
    if b"chunked" in head:
        while not rest.endswith(b"0\r\n\r\n"):
            rest += connection.recv(65536)
        return
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536)


@contextmanager
def server(side: str, args: argparse.Namespace) -> Iterator[tuple[int, Connection]]:
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(side, args.http, args.profile, there))
    process.start()
    try:
        yield here.recv(), here
    finally:
        here.send("stop")
        process.join(10)
        process.kill()


def cpu_s(child: Connection) -> float:
    child.send("cpu")
    return float(child.recv())


def rss_mib(child: Connection) -> float:
    child.send("rss")
    return float(child.recv())


# -- the server's process -----------------------------------------------------------------------


def serve(side: str, http: Any, profile: bool, pipe: Connection) -> None:
    import threading

    import uvicorn

    from workers.serve.address import open_listener
    from workers.serve.http.gathered import GatheredProtocol

    listener = open_listener("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(
            floor if side == "floor" else front(idle=side == "idle"),
            http=GatheredProtocol if http == "h11" else http,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
        )
    )
    threading.Thread(target=_answer, args=(pipe, listener, server), daemon=True).start()

    def run() -> None:
        asyncio.run(server.serve(sockets=[listener]))

    if profile and side == "front":
        import cProfile

        profiler = cProfile.Profile()
        profiler.runcall(run)
        import pstats

        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    else:
        run()


def _answer(pipe: Connection, listener: socket.socket, server: Any) -> None:
    import psutil

    me = psutil.Process()
    pipe.send(listener.getsockname()[1])
    while (asked := pipe.recv()) != "stop":
        pipe.send(sum(me.cpu_times()[:2]) if asked == "cpu" else me.memory_info().rss / 2**20)
    server.should_exit = server.force_exit = True


async def floor(scope: Any, receive: Any, send: Any) -> None:
    """The same bytes for everybody."""
    body = b"x" * 500
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"500"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def front(*, idle: bool) -> Callable[..., Any]:
    from tests.serve_front import Front
    from workers.serve.engines.base import TokenEvent

    front = Front(max_batch_size=64, queue_limit=4096)
    engine = front.engine

    def script(ticket: Any) -> list[TokenEvent]:
        if idle:
            return [TokenEvent(70)]
        tokens = ticket.params.max_new_tokens
        engine._bite = 1 if tokens == 33 else tokens  # token by token, or all at once
        events = [TokenEvent(70 + i % 50) for i in range(32)]
        return [*events[:-1], TokenEvent(71, "length")]

    engine._script = script
    return front.app


if __name__ == "__main__":
    main()

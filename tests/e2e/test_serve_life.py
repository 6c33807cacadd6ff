"""From start to stop: loading, ready, busy, draining, gone, with nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

pytest.importorskip("torch")

from core.atomic_io import write_text
from core.protocol.codec import encode_command
from core.protocol.commands import StopCommand
from tests.e2e.serve_process import ServerProcess, launch, serving
from tests.tiny_models import build_tiny
from tests.unit.test_serve_engine import make_adapter

ENDLESS_TOKENS = 60_000
"""Takes a tiny model half a minute at least: it runs until its client leaves."""
ENDLESS = {"prompt": "Hello", "max_tokens": ENDLESS_TOKENS, "ignore_eos": True, "stream": True}
LONG = {"prompt": "Hello", "max_tokens": 240, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("model") / "llama", "llama")


@pytest.fixture(scope="module")
def tireless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose context holds an answer of `ENDLESS_TOKENS`."""
    folder = tmp_path_factory.mktemp("tireless") / "llama"
    return build_tiny(folder, "llama", max_position_embeddings=ENDLESS_TOKENS + 64)


def read_stream(server: ServerProcess, said: list[list[dict]], body: dict | None = None) -> None:
    lines: list[dict] = []
    try:
        with (
            server.client() as client,
            client.stream("POST", "/v1/completions", json=(body or LONG) | {"stream": True}) as r,
        ):
            for line in r.iter_lines():
                if line.startswith("data: "):
                    data = line.removeprefix("data: ")
                    lines.append({"done": True} if data == "[DONE]" else json.loads(data))
    except httpx.HTTPError as e:
        lines.append({"broken": type(e).__name__})
    said.append(lines)


def streams(server: ServerProcess, count: int, said: list[list[dict]]) -> list[threading.Thread]:
    before = len(server.state.requests)
    threads = [threading.Thread(target=read_stream, args=(server, said)) for _ in range(count)]
    for thread in threads:
        thread.start()
    with server.client() as client:
        while True:
            text = client.get("/metrics").text
            active = [
                int(line.split()[-1])
                for line in text.splitlines()
                if line.startswith(("deepdeck:num_requests_running{", "deepdeck:num_requests_wai"))
            ]
            if sum(active) + len(server.state.requests) - before >= count:
                return threads


def gauge(client: httpx.Client, name: str) -> int:
    lines = client.get("/metrics").text.splitlines()
    return next(int(x.split()[-1]) for x in lines if x.startswith(f"deepdeck:{name}{{"))


def until(server: ServerProcess, happened: Callable[[], bool]) -> None:
    """No limit of its own: a slow machine is not a failure, a dead server is."""
    while not happened():
        assert server.process.poll() is None, server.log
        time.sleep(0.02)


@contextmanager
def only_place_taken(server: ServerProcess, client: httpx.Client) -> Iterator[None]:
    """While this lasts an answer is being made that does not end; afterwards its place is free."""
    with client.stream("POST", "/v1/completions", json=ENDLESS) as response:
        assert response.status_code == 200
        assert gauge(client, "num_requests_running") == 1
        yield
        assert gauge(client, "num_requests_running") == 1
    until(server, lambda: any(r.status == 499 for r in server.state.requests))


def port_is_free(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except OSError:
            return False
    return True


def test_health_says_loading_before_it_says_ready(tmp_path: Path, model: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = launch(tmp_path, model, port=port)
    seen: list[tuple[int, str]] = []
    try:
        while not server.state.ready:
            assert server.process.poll() is None, server.log
            try:
                response = httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
                seen.append((response.status_code, response.json()["status"]))
                if response.status_code == 503:
                    assert response.headers["retry-after"]
            except httpx.ConnectError:
                time.sleep(0.01)
        assert seen[0] == (503, "loading")
        phases = [e.phase for e in server.events if e.kind == "run.phase"]
        assert phases[0] == "loading_model"
        assert phases[-2:] == ["warming_up", "ready"]
    finally:
        server.stop()


def test_a_stop_lets_open_streams_finish(tmp_path: Path, model: Path) -> None:
    with serving(tmp_path, model) as server:
        url, said = server.url, []
        threads = streams(server, 5, said)
        write_text(server.run.control, encode_command(StopCommand()).decode())
        assert server.process.wait(30) == 0
        for thread in threads:
            thread.join(10)
        assert all(lines[-1] == {"done": True} for lines in said)
        assert not any("error" in line for lines in said for line in lines)
        state = server.state
        assert (state.status, state.reason) == ("stopped", "stop_requested")
        assert state.result["requests"] == 5
        assert port_is_free(url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_without_patience_ends_streams_with_a_word(
    tmp_path: Path, model: Path, number: int
) -> None:
    with serving(tmp_path, model, drain_s=0, max_batch_size=2) as server:
        url, said = server.url, []
        children = psutil.Process(server.process.pid).children(recursive=True)
        threads = streams(server, 30, said)
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
        for thread in threads:
            thread.join(10)
        ended = [lines for lines in said if any("error" in line for line in lines)]
        finished = [lines for lines in said if not any("error" in line for line in lines)]
        assert ended
        assert all("stopping" in str(lines) or lines == [] for lines in ended)
        # Those that still waited got a 503 instead of a stream, so nothing to read.
        assert all(lines == [] or lines[-1] == {"done": True} for lines in finished)
        assert not any("broken" in line for lines in said for line in lines)
        assert port_is_free(url)
        assert not [c for c in children if c.is_running()]
        assert server.state.status == "stopped"


def test_a_port_in_use_is_said_before_the_model_is_loaded(tmp_path: Path, model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = launch(tmp_path, model, port=port)
        assert server.process.wait(60) == 1
    state = server.state
    assert state.status == "failed"
    assert state.error is not None
    assert state.error.code == "serve.port_in_use"
    assert state.error.params == {"host": "127.0.0.1", "port": port}
    assert not [e for e in server.events if e.kind == "run.phase"]


def test_a_full_queue_answers_503_with_retry_after(tmp_path: Path, tireless: Path) -> None:
    limits = {"max_batch_size": 1, "queue_limit": 2, "max_new_tokens": ENDLESS_TOKENS}
    with serving(tmp_path, tireless, **limits) as server, server.client() as client:
        said: list[list[dict]] = []
        waiting = [threading.Thread(target=read_stream, args=(server, said)) for _ in range(2)]
        with only_place_taken(server, client):
            for thread in waiting:
                thread.start()
            until(server, lambda: gauge(client, "num_requests_waiting") == 2)
            refused = client.post("/v1/completions", json=LONG)
        for thread in waiting:
            thread.join(60)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["error"]["code"] == "queue_full"
        assert [lines[-1] for lines in said] == [{"done": True}] * 2
        assert client.post("/v1/completions", json=LONG).status_code == 200
        assert 'reason="queue_full"} 1\n' in client.get("/metrics").text
        until(server, lambda: len(server.state.requests) == 5)
        assert sorted(r.status for r in server.state.requests) == [200, 200, 200, 499, 503]


def test_a_wait_that_is_too_long_ends_with_503(tmp_path: Path, tireless: Path) -> None:
    limits = {"max_batch_size": 1, "queue_timeout_s": 2, "max_new_tokens": ENDLESS_TOKENS}
    with serving(tmp_path, tireless, **limits) as server, server.client() as client:
        with only_place_taken(server, client):
            refused = client.post("/v1/completions", json=LONG)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["error"]["code"] == "timeout"
        assert "in the queue" in refused.json()["error"]["message"]
        assert client.post("/v1/completions", json=LONG).status_code == 200
        until(server, lambda: len(server.state.requests) == 3)
        assert sorted(r.status for r in server.state.requests) == [200, 499, 503]


def test_adapter_and_base_are_two_models_of_one_server(tmp_path: Path, model: Path) -> None:
    adapter = make_adapter(model, tmp_path / "legal-qa")
    with serving(tmp_path, model, adapter=str(adapter)) as server, server.client() as client:
        names = [m["id"] for m in client.get("/v1/models").json()["data"]]
        assert names == ["tiny:legal-qa", "tiny"]
        texts = {
            name: client.post("/v1/completions", json=LONG | {"model": name}).json()
            for name in (*names, None)
        }
        assert texts["tiny"]["choices"][0]["text"] != texts["tiny:legal-qa"]["choices"][0]["text"]
        assert texts[None]["model"] == "tiny:legal-qa"
        alone = client.post("/v1/completions", json=LONG | {"model": "legal-qa"}).json()
        assert alone["choices"] == texts[None]["choices"]
        assert server.state.ready.adapter == "legal-qa"


def test_figures_of_requests_reach_the_events(tmp_path: Path, model: Path) -> None:
    with serving(tmp_path, model) as server, server.client() as client:
        client.post("/generate", json={"prompt": "Hello", "max_new_tokens": 5})
        client.post("/generate", json={"prompt": ""})
        while not (server.state.stats and server.state.stats.requests_total == 2):
            assert server.process.poll() is None
        done, refused = server.state.requests
        assert (done.route, done.status, refused.status) == ("/generate", 200, 400)
        assert done.ttft_ms is not None
        assert 0 < done.ttft_ms <= done.total_ms
        assert server.state.stats.errors_total == 1

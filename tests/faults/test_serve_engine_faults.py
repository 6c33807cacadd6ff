"""What happens to a server and its clients when the engine's process goes wrong, or the front."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

pytest.importorskip("torch")

from core.atomic_io import write_text
from core.protocol.codec import encode_command
from core.protocol.commands import AdapterCommand, CancelRequestCommand, Command, StopCommand
from tests.e2e.serve_process import ServerProcess, serving
from tests.e2e.test_serve_life import port_is_free
from tests.tiny_models import build_tiny
from tests.unit.test_serve_engine import make_adapter

LONG_TOKENS = 60_000
ENDLESS = {"prompt": "Hello", "max_tokens": LONG_TOKENS, "ignore_eos": True, "stream": True}
SHORT = {"prompt": "Hello", "max_tokens": 8, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def tireless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tireless") / "llama"
    return build_tiny(folder, "llama", max_position_embeddings=LONG_TOKENS + 64)


def engine_of(server: ServerProcess) -> psutil.Process:
    children = psutil.Process(server.process.pid).children()
    (engine,) = (c for c in children if "workers.serve.engine_process" in c.cmdline())
    return engine


def until(server: ServerProcess, happened: Callable[[], bool]) -> None:
    """No limit of its own: a slow machine is not a failure, a dead server is."""
    while not happened():
        assert server.process.poll() is None, server.log
        time.sleep(0.02)


class Stream(threading.Thread):
    """A client that reads an endless answer."""

    def __init__(self, server: ServerProcess, **body: object) -> None:
        super().__init__(daemon=True)
        self._server, self._body = server, {**ENDLESS, **body}
        self.lines: list[str] = []
        self.status: int | None = None
        self.broken = ""
        self.start()

    def run(self) -> None:
        try:
            with (
                self._server.client() as client,
                client.stream("POST", "/v1/completions", json=self._body) as response,
            ):
                self.status = response.status_code
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        self.lines.append(line.removeprefix("data: "))
        except httpx.HTTPError as e:
            self.broken = type(e).__name__

    @property
    def errors(self) -> list[dict]:
        return [json.loads(x)["error"] for x in self.lines if '"error"' in x]


def send(server: ServerProcess, command: Command) -> None:
    old = server.run.control.read_text() if server.run.control.exists() else ""
    write_text(server.run.control, old + encode_command(command).decode())


def test_kill_9_of_the_engine_is_an_error_event_a_503_and_an_engine_again(
    tmp_path: Path, tireless: Path
) -> None:
    limits = {"max_new_tokens": LONG_TOKENS, "drain_s": 0}
    with serving(tmp_path, tireless, **limits) as server, server.client() as client:
        before = client.post("/v1/completions", json=SHORT).json()
        stream = Stream(server)
        until(server, lambda: len(stream.lines) > 3)
        engine = engine_of(server)
        engine.kill()
        stream.join(30)
        assert stream.broken == ""
        assert stream.status == 200
        assert stream.lines[-1] == "[DONE]"
        assert "SIGKILL" in stream.errors[0]["message"]
        until(server, lambda: server.state.engine is not None)
        ready = client.get("/health/ready")
        if server.state.engine.state != "ready":
            assert ready.status_code == 503
            assert ready.headers["retry-after"]
            assert ready.json()["status"] == "restarting"
            assert "SIGKILL" in ready.json()["reason"]
            refused = client.post("/v1/completions", json=SHORT)
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
        assert client.get("/health/live").status_code == 200
        until(server, lambda: server.state.engine.state == "ready")
        assert client.get("/health/ready").status_code == 200
        assert client.post("/v1/completions", json=SHORT).json()["choices"] == before["choices"]
        states = [e.state for e in server.events if e.kind == "serve.engine"]
        assert states == ["crashed", "restarting", "ready"]
        assert server.state.status == "running"


def test_an_engine_that_keeps_dying_ends_the_run_with_the_reason(
    tmp_path: Path, tireless: Path
) -> None:
    with serving(tmp_path, tireless, max_restarts=0) as server:
        engine_of(server).kill()
        assert server.process.wait(30) == 1, server.log
        state = server.state
        assert state.status == "failed"
        assert state.error.code == "serve.engine_failed"
        assert "SIGKILL" in state.error.detail
        assert state.engine.state == "given_up"


def test_the_front_killed_leaves_no_engine_behind(tmp_path: Path, tireless: Path) -> None:
    with serving(tmp_path, tireless, max_new_tokens=LONG_TOKENS) as server:
        stream = Stream(server)
        until(server, lambda: len(stream.lines) > 3)
        engine = engine_of(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        engine.wait(20)
        assert not engine.is_running()


def test_the_front_has_no_torch_in_it_and_is_small(tmp_path: Path, tireless: Path) -> None:
    with serving(tmp_path, tireless) as server, server.client() as client:
        assert client.post("/v1/completions", json=SHORT).status_code == 200
        front = psutil.Process(server.process.pid)
        mapped = {m.path for m in front.memory_maps()}
        assert not [m for m in mapped if "/torch/" in m]
        assert [m for m in engine_of(server).memory_maps() if "/torch/" in m.path]
        assert front.memory_info().rss < 256 * 2**20


def stop_with_open_streams(home: Path, model: Path, count: int, drain_s: float) -> None:
    limits = {"max_new_tokens": LONG_TOKENS, "drain_s": drain_s, "max_batch_size": 8}
    with serving(home, model, **limits) as server:
        url, engine = server.url, engine_of(server)
        streams = [Stream(server) for _ in range(count)]
        until(server, lambda: all(s.lines or s.status for s in streams[:4]))
        began = time.monotonic()
        send(server, StopCommand())
        assert server.process.wait(60) == 0, server.log
        took_s = time.monotonic() - began
        for stream in streams:
            stream.join(10)
        assert not engine.is_running()
        assert port_is_free(url)
        assert server.state.status == "stopped"
        said = [s for s in streams if s.status == 200]
        assert said
        assert all(s.broken == "" for s in said)
        assert all("stopping" in s.errors[0]["message"] for s in said)
        assert all(s.lines[-1] == "[DONE]" for s in said)
        last = server.events[-1]
        draining = next(e for e in server.events if getattr(e, "phase", "") == "draining")
        assert last.monotonic_s - draining.monotonic_s < drain_s + 3, took_s


def test_a_stop_with_50_open_streams_is_over_within_drain_plus_3_s(
    tmp_path: Path, tireless: Path
) -> None:
    stop_with_open_streams(tmp_path, tireless, 50, drain_s=0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_starts_and_stops_leave_nothing_behind(tmp_path: Path, tireless: Path) -> None:
    """Ten cycles take minutes on 2 cores: DEEPDECK_CYCLES=10 runs them, everyday runs have two."""
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    for cycle in range(int(os.environ.get("DEEPDECK_CYCLES", "2"))):
        stop_with_open_streams(tmp_path / str(cycle), tireless, 12, drain_s=0.0)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_adapters_are_swapped_under_load_and_no_request_is_dropped(
    tmp_path: Path, tireless: Path
) -> None:
    first, second = (make_adapter(tireless, tmp_path / n, seed=i) for i, n in enumerate("ab"))
    with serving(tmp_path, tireless, adapter=str(first)) as server, server.client() as client:

        def answered(command: AdapterCommand) -> str:
            send(server, command)
            until(server, lambda: command.command_id in server.state.acknowledged)
            said = next(
                e
                for e in server.events
                if e.kind == "command.acknowledged" and e.in_reply_to == command.command_id
            )
            return "" if said.accepted else said.detail

        def names() -> list[str]:
            return [m["id"] for m in client.get("/v1/models").json()["data"]]

        def text(model: str | None) -> str:
            answer = client.post("/v1/completions", json=SHORT | {"model": model})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["choices"][0]["text"])

        base, old = text("tiny"), text("tiny:a")
        assert text(None) == old
        running = Stream(server, model="tiny:a", max_tokens=600)
        until(server, lambda: bool(running.lines))
        assert answered(AdapterCommand(load=str(second))) == ""
        assert names() == ["tiny:a", "tiny", "tiny:b"]
        new = text("tiny:b")
        assert len({base, old, new}) == 3
        assert answered(AdapterCommand(default="b")) == ""
        assert text(None) == new
        assert answered(AdapterCommand(unload="tiny:a")) == ""
        running.join(60)
        assert running.errors == []
        assert running.lines[-1] == "[DONE]"
        assert names() == ["tiny:b", "tiny"]
        assert client.post("/v1/completions", json=SHORT | {"model": "a"}).status_code == 404
        assert text("tiny") == base
        assert text("tiny+b") == text("b") == new
        assert server.state.adapters == ("tiny:b",)
        assert server.state.adapter_folders == {"tiny:b": str(second)}
        assert server.state.default_model == "tiny:b"
        assert answered(AdapterCommand(unload="a")) == "unknown_adapter"
        assert answered(AdapterCommand(load=str(tmp_path / "none"))) == "not_an_adapter"
        assert answered(AdapterCommand(load=str(first), name="b")) == "name_taken"
        assert answered(AdapterCommand(load=str(second), name="again", default="tiny")) == ""
        assert names() == ["tiny", "tiny:b", "tiny:again"]
        engine_of(server).kill()
        until(server, lambda: bool(server.state.engine and server.state.engine.state == "ready"))
        assert text("tiny:again") == new
        assert text(None) == base


def test_a_request_is_ended_by_command_and_its_client_is_told(
    tmp_path: Path, tireless: Path
) -> None:
    with serving(tmp_path, tireless, max_new_tokens=LONG_TOKENS) as server:
        stream, other = Stream(server), Stream(server)
        until(server, lambda: bool(stream.lines and other.lines))
        until(server, lambda: bool(server.state.stats and server.state.stats.open_requests))
        victim = server.state.stats.open_requests[0].request_id
        command = CancelRequestCommand(request_id=victim)
        send(server, command)
        until(server, lambda: any(r.request_id == victim for r in server.state.requests))
        until(server, lambda: bool([s for s in (stream, other) if s.errors]))
        ended = [s for s in (stream, other) if s.errors]
        assert len(ended) == 1
        unknown = CancelRequestCommand(request_id=victim)
        send(server, unknown)
        until(server, lambda: unknown.command_id in server.state.acknowledged)

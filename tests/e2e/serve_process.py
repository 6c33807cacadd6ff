"""A real server process for tests: the worker as the launcher starts it, over a tiny model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.config.serve import ServeSpec
from core.paths import PROJECT_ROOT, Home
from core.protocol.events import Event
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold
from core.runlog.tail import LogTail
from core.secrets import api_key

START_S = 90.0


@dataclass
class ServerProcess:
    run: RunDir
    process: subprocess.Popen[bytes]
    key: str

    @property
    def state(self) -> RunState:
        return fold(RunState(), self.events)

    @property
    def events(self) -> tuple[Event, ...]:
        return LogTail(self.run.events).read(max_bytes=1 << 26).events

    @property
    def url(self) -> str:
        ready = self.state.ready
        assert ready is not None
        return ready.url

    def client(self, **more: object) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **more)

    def wait(self, what: str, timeout_s: float = START_S) -> None:
        """Until the state's `what` is set, or the process is gone."""
        deadline = time.monotonic() + timeout_s
        while not getattr(self.state, what):
            assert self.process.poll() is None or what == "finished", self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return self.run.output_log.read_text(errors="replace")[-4000:]

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


def launch(home: Path, model: Path, **spec: object) -> ServerProcess:
    values = {"model": str(model), "port": 0, "device": "cpu", **spec}
    document = {
        "v": 1,
        "run_id": "serve-1",
        "job": "serve",
        "model": "tiny",
        "spec": ServeSpec(**values).model_dump(mode="json"),
    }
    run = RunDir.create(Home(home).runs, f"serve-{time.monotonic_ns()}", document)
    environment = {
        **os.environ,
        "DEEPDECK_HOME": str(home),
        "PYTHONPATH": str(PROJECT_ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with run.output_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.serve", str(run.path)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    return ServerProcess(run, process, api_key(Home(home)))


@contextmanager
def serving(home: Path, model: Path, **spec: object) -> Iterator[ServerProcess]:
    server = launch(home, model, **spec)
    try:
        server.wait("ready")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)

"""The other server's process: started on a free loopback port with a key of its own, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import ModelFacts, Progress
from workers.serve.engines.upstream.dialect import Dialect

_POLL_S = 0.2
_SILENT_LOADING_S = 1800.0
"""A server may compile kernels for minutes; one that never answers is ended."""
_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


class UpstreamServer:
    """One life of the child.

    Raises on making:
        AppError: `serve.external_*`, `serve.engine_unavailable`.
    """

    def __init__(self, dialect: Dialect, spec: ServeSpec) -> None:
        dialect.check(spec)
        self._dialect, self._spec = dialect, spec
        self.port = _free_port()
        self.key = secrets.token_urlsafe(24)
        launch = dialect.launch(spec, self.port, self.key)
        try:
            self._process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                stderr=sys.stderr.fileno(),
                env={**os.environ, **launch.environment},
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as e:
            raise self._failed(str(e)) from e

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The child's own key; never ours."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended; empty while it lives."""
        code = self._process.poll()
        return "" if code is None else f"{self._dialect.name} ended with code {code}"

    def until_ready(
        self, progress: Progress, now: Callable[[], float] = time.monotonic
    ) -> ModelFacts:
        """Wait until it answers; `progress` may raise to give up."""
        deadline = now() + _SILENT_LOADING_S
        with httpx.Client(base_url=self.url, headers=self.headers, trust_env=False) as client:
            while not self._healthy(client):
                if self.ended or now() > deadline:
                    raise self._failed(self.ended or "it did not answer")
                progress("loading_model", None, self._dialect.name)
                time.sleep(_POLL_S)
            paths = self._dialect.facts_paths
            documents = {path: client.get(path).raise_for_status().json() for path in paths}
        return self._dialect.facts(self._spec, documents)

    def end(self) -> None:
        """Ask, wait a moment, kill."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._process.kill()
        self._process.wait()

    def _healthy(self, client: httpx.Client) -> bool:
        try:
            return client.get("/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def _failed(self, detail: str) -> AppError:
        return AppError(ErrorCode.EXTERNAL_ENGINE_FAILED, engine=self._dialect.name, detail=detail)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """In the child, before it becomes the program: end when the engine's process ends (prctl 2)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

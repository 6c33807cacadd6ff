"""One life of the engine's process, as the front sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque

from core.paths import PROJECT_ROOT
from workers.serve.engines import frames
from workers.serve.engines.frames import Message

_MODULE = "workers.serve.engine_process"
_LAST_LINES = 8
_GRACE_S = 2.0
_LINE_BYTES = 64 * 1024
_NO_WINDOW = 0x08000000
_NOISE = "warnings.warn"

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""A desktop always has foreign load; threads that wait actively then lose nearly all their time."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class EngineDied(Exception):
    """The engine's process ended without being asked to; the words say how."""


class Child:
    """Frames to and from the process, its last words and its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._orders, self._events = process.stdin, process.stdout
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._echo = asyncio.create_task(self._pass_on(process.stderr))

    @classmethod
    async def start(cls) -> Child:
        """A process that waits for its first order.

        Raises:
            OSError: the system cannot start it.
        """
        environment = {
            **PASSIVE,
            **os.environ,
            **OFFLINE,
            "PYTHONPATH": os.pathsep.join(_search_path()),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                limit=1 << 20,
                env=environment,
                creationflags=_NO_WINDOW if sys.platform == "win32" else 0,
            )
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Write an order; never waits. What a dead process was sent is lost."""
        with contextlib.suppress(OSError, RuntimeError):
            self._orders.write(frames.encode(message))

    async def next(self) -> Message | None:
        """The next event; None at the end."""
        return await frames.read_async(self._events)

    def kill(self) -> None:
        """At once."""
        with contextlib.suppress(ProcessLookupError, OSError):
            self._process.kill()

    async def end(self, grace_s: float = _GRACE_S) -> None:
        """Close the channel, wait a moment, then kill. Returns when nothing is left of it."""
        self._orders.close()
        if grace_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        self.kill()
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._echo), 1.0)
        self._echo.cancel()

    async def how_it_ended(self) -> str:
        """Exit code or signal, and its last words. Ends it where it has only stopped talking."""
        await self.end()
        code = self._process.returncode
        said = " | ".join(self._last_lines)
        return _ending(code or 0) + (f": {said}" if said else "")

    async def _pass_on(self, stream: asyncio.StreamReader) -> None:
        """What the process prints goes to where this one prints; the last lines are kept."""
        while data := await stream.read(_LINE_BYTES):
            text = data.decode("utf-8", "replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            lines = text.splitlines()
            self._last_lines.extend(x.strip() for x in lines if x.strip() and _NOISE not in x)


def _search_path() -> list[str]:
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(PROJECT_ROOT), *(p for p in inherited if p and p != str(PROJECT_ROOT))]


def _ending(code: int) -> str:
    if code >= 0:
        return f"the engine's process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"the engine's process was ended by signal {-code} ({name})"

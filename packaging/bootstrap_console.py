"""Progress on the terminal, everything in the log, and child processes under control."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from bootstrap_text import text

_TAIL_LINES = 15
_REDRAW_S = 0.2
_PLAIN_LINE_S = 15.0


class StepFailed(Exception):
    """A command of the set-up failed; carries the last lines for the explanation."""

    def __init__(self, phase: str, tail: list[str]) -> None:
        super().__init__(phase)
        self.phase = phase
        self.tail = tail


class Console:
    """One line that is redrawn on a terminal; now and then a plain line elsewhere (CI, a file)."""

    def __init__(self, log: Path, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log_path = log
        self._log = log.open("a", encoding="utf-8", errors="replace")
        self._log.write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} {sys.argv} {sys.version}\n")
        self._phase = ""
        self._detail = ""
        self._began = 0.0
        self._drawn_at = 0.0
        self._lock = threading.RLock()

    def say(self, line: str) -> None:
        """A line that stays."""
        with self._lock:
            self._wipe()
            print(line, file=self._stream, flush=True)
            self._log.write(line + "\n")

    def phase(self, name: str) -> None:
        """A new phase begins."""
        with self._lock:
            self._phase, self._detail, self._began = name, "", time.monotonic()
            self._log.write(f"--- {name}\n")
            self._drawn_at = 0.0 if self._live else time.monotonic()
            self._draw()

    def detail(self, what: str) -> None:
        """What the phase does now."""
        with self._lock:
            changed, self._detail = what != self._detail, what
            if changed or self._live:
                self._draw()

    def done(self) -> None:
        """The phase is over."""
        with self._lock:
            seconds = time.monotonic() - self._began
            self._wipe()
            print(
                f"  {self._phase}: {text('done')} ({seconds:.0f} s)", file=self._stream, flush=True
            )

    def log(self, line: str) -> None:
        """Only into the log."""
        with self._lock:
            self._log.write(line.rstrip("\n") + "\n")
            self._log.flush()

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn_at < (_REDRAW_S if self._live else _PLAIN_LINE_S):
            return
        self._drawn_at = now
        line = f"  {self._phase}: {self._detail} ({now - self._began:.0f} s)"
        if self._live:
            width = shutil.get_terminal_size((80, 20)).columns - 1
            print("\r\x1b[2K" + line[:width], end="", file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)

    def _wipe(self) -> None:
        if self._live:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)


def run(
    console: Console,
    command: list[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    quiet: Callable[[str], bool] = lambda line: False,
) -> None:
    """Run a command, its output into the log; the elapsed time keeps moving while it is silent.

    Args:
        on_line: called with every line of output.
        on_tick: called several times a second.
        quiet: lines that do not belong into the log (a progress line for every few KB).

    Raises:
        StepFailed: it ended with another code than 0.
    """
    console.log("$ " + " ".join(command))
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=env,
        cwd=cwd,
    )
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.5):
            if on_tick is not None:
                on_tick()
            console.detail(console._detail)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        assert child.stdout is not None
        for raw in child.stdout:
            line = raw.rstrip()
            if not quiet(line):
                console.log(line)
                if line.strip():
                    tail.append(line)
            if on_line is not None:
                on_line(line)
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        over.set()
        ticker.join()
    if code != 0:
        raise StepFailed(console._phase, list(tail))

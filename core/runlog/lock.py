"""One writer a file, held by the operating system: the lock falls with its process, kill -9 too."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from core import atomic_io
from core.errors import AppError, ErrorCode


def lock_exclusively(fd: int, run_id: str) -> None:
    """Lock an open file until it is closed; readers are not disturbed.

    Raises:
        AppError: `run.still_alive` when another process holds the lock.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far behind the end: Windows locks are mandatory and must not cover what is read.
            os.lseek(fd, 1 << 62, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as e:
        raise AppError(ErrorCode.RUN_STILL_ALIVE, run_id=run_id, detail=str(e)) from e


@contextlib.contextmanager
def launch_lock(folder: Path) -> Iterator[None]:
    """Held by a face while it looks for a worker and starts one: two windows never start two.

    Raises:
        AppError: `run.still_alive` when another face is starting this run just now;
            `folder.read_only`, `disk.full`.
    """
    with atomic_io.disk_errors(folder):
        fd = os.open(folder / ".launch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock_exclusively(fd, folder.name)
        yield
    finally:
        os.close(fd)

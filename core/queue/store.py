"""The queue's file: changed whole, by one process at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from core import atomic_io
from core.errors import AppError, ErrorCode
from core.paths import Home
from core.queue.items import Queue
from core.runlog.lock import lock_exclusively

_PATIENCE_S = 5.0


class QueueStore:
    """Reads and changes `queue.json` of a home."""

    def __init__(self, home: Home) -> None:
        self._path = home.queue_file
        self._seen: tuple[int, Queue] | None = None

    def read(self) -> Queue:
        """The queue as it is; cheap when nothing changed, so it may be asked on every tick.

        A damaged file is set aside under another name: a queue is quickly typed again, and a
        window that does not open helps nobody.
        """
        try:
            stamp = self._path.stat().st_mtime_ns
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, Queue.model_validate(atomic_io.read_json(self._path)))
        except FileNotFoundError:
            return Queue()
        except (AppError, ValidationError):
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_name(f"queue-damaged-{int(time.time())}.json"))
            return Queue()
        return self._seen[1]

    def change(self, change: Callable[[Queue], Queue]) -> Queue:
        """Apply `change` to the newest state and store it; two windows never undo each other.

        Raises:
            AppError: `disk.full`, `folder.read_only`.
        """
        with self.alone(".queue.lock", patience_s=_PATIENCE_S) as mine:
            if not mine:
                raise AppError(ErrorCode.INTERNAL, detail="the queue is locked by another process")
            self._seen = None
            new = change(self.read())
            atomic_io.write_json(self._path, new.model_dump(mode="json"))
            self._seen = None
        return new

    @contextlib.contextmanager
    def alone(self, name: str, *, patience_s: float = 0.0) -> Iterator[bool]:
        """Hold a lock beside the file; yields False when another process has it.

        Raises:
            AppError: `disk.full`, `folder.read_only`.
        """
        fd = _open(self._path.with_name(name))
        try:
            yield _locked(fd, patience_s)
        finally:
            os.close(fd)


def _open(path: Path) -> int:
    with atomic_io.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _locked(fd: int, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while True:
        try:
            lock_exclusively(fd, "queue")
        except AppError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True

"""Append-only writer of a run's event file. One process has one; a second is a bug."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from core import atomic_io
from core.protocol.codec import BadLine, decode_event, encode_event
from core.protocol.events import CheckpointSaved, Event, RunFinished
from core.runlog.lock import lock_exclusively

_MAX_HELD_BYTES = 8 * 1024 * 1024


class EventWriter:
    """Stamps and appends events; safe to call from several threads.

    Opening an existing file repairs a torn last line (the writer before was killed) and goes on
    with the next `seq`. When the disk is full, lines are held in memory up to 8 MiB and written
    before the next ones once there is room: nothing is glued to a torn line, nothing reordered.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        """Open, lock and repair.

        Raises:
            AppError: `run.still_alive` when another process writes here, `folder.read_only`,
                `disk.full`.
        """
        self._run_id = run_id
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped = 0
        with atomic_io.disk_errors(path):
            # Unbuffered: a line is in the page cache, and so survives kill -9, when write returns.
            self._file = path.open("ab", buffering=0)
        try:
            lock_exclusively(self._file.fileno(), run_id)
            self._seq = _repair(path)
        except BaseException:
            self._file.close()
            raise
        self._good_size = self._file.seek(0, os.SEEK_END)

    @property
    def num_events(self) -> int:
        """Events written or held so far, which is the last `seq`."""
        return self._seq

    @property
    def held_lines(self) -> int:
        """Lines that wait for room on the disk."""
        return len(self._held)

    def write(self, event: Event) -> Event:
        """Stamp, append and return the event. Never raises for a full disk."""
        with self._lock:
            self._seq += 1
            stamped = event.model_copy(
                update={
                    "run_id": self._run_id,
                    "seq": self._seq,
                    "time_utc": time.time(),
                    "monotonic_s": time.monotonic() - self._start,
                    "kind": type(event).KIND or event.kind,
                    **({"num_events": self._seq} if isinstance(event, RunFinished) else {}),
                }
            )
            line = encode_event(stamped)
            self._held.append(line)
            self._held_bytes += len(line)
            self._flush_held()
            if isinstance(stamped, CheckpointSaved | RunFinished):
                self._sync()
            return stamped

    def flush(self) -> bool:
        """Try to write held lines; true when none is left."""
        with self._lock:
            return self._flush_held()

    def close(self) -> None:
        """Write what is held if there is room, flush to disk, close."""
        with self._lock:
            self._flush_held()
            self._sync()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _flush_held(self) -> bool:
        while self._held:
            line = self._held[0]
            try:
                written = self._file.write(line)
            except OSError:
                self._give_up_oldest()
                return False
            if written != len(line):  # the disk took a part: cut it off and wait
                os.ftruncate(self._file.fileno(), self._good_size)
                self._file.seek(0, os.SEEK_END)
                self._give_up_oldest()
                return False
            self._good_size += len(line)
            self._held_bytes -= len(self._held.popleft())
        return True

    def _give_up_oldest(self) -> None:
        while self._held_bytes > _MAX_HELD_BYTES and len(self._held) > 1:
            self._held_bytes -= len(self._held.popleft())
            self._dropped += 1

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError:
            return


def _repair(path: Path) -> int:
    """Cut a torn tail off and return the last `seq` in the file (0 for none)."""
    with atomic_io.disk_errors(path), path.open("r+b") as f:
        size = f.seek(0, os.SEEK_END)
        end = _last_line_end(f.fileno(), size)
        if end != size:
            f.truncate(end)
    return _last_seq(path)


def _last_line_end(fd: int, size: int) -> int:
    """Offset just behind the last line end."""
    block = 65536
    stop = size
    while stop > 0:
        start = max(0, stop - block)
        chunk = (
            os.pread(fd, stop - start, start) if hasattr(os, "pread") else _read(fd, start, stop)
        )
        found = chunk.rfind(b"\n")
        if found >= 0:
            return start + found + 1
        stop = start
    return 0


def _read(fd: int, start: int, stop: int) -> bytes:
    os.lseek(fd, start, os.SEEK_SET)
    return os.read(fd, stop - start)


def _last_seq(path: Path) -> int:
    """The last readable line's `seq`; a bad line at the end is stepped over."""
    with path.open("rb") as f:
        size = f.seek(0, os.SEEK_END)
        window = 65536
        while True:
            f.seek(max(0, size - window))
            for line in reversed(f.read().splitlines()):
                try:
                    return decode_event(line).seq
                except BadLine:
                    continue
            if window >= size:
                return 0
            window *= 8

"""Incremental reader of an append-only JSON lines file, in bounded bites."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.protocol.codec import decode_lines
from core.protocol.events import Event

# 64 KiB bites keep the worst gap of the UI under 50 ms (measured; 256 KiB gave 115 ms).
DEFAULT_BITE_BYTES = 64 * 1024
HUGE_LINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class TailResult:
    """What one read brought."""

    events: tuple[Event, ...] = ()
    bad_lines: int = 0
    """Lines in the middle that are not events: skipped."""
    at_end: bool = True
    """No whole line is left to read now."""
    restarted: bool = False
    """The file shrank (replaced): everything read before is void."""


@dataclass
class LogTail:
    """Reads new whole lines on each call. An incomplete last line means: wait.

    `offset` always stands behind a line end. The start of an incomplete line is read again with
    its rest, so that a writer that cuts a torn tail off and goes on is never misread.
    """

    path: Path
    offset: int = 0
    bad_lines: int = 0
    _skipping: bool = field(default=False, repr=False)

    def read(self, max_bytes: int = DEFAULT_BITE_BYTES) -> TailResult:
        """Decode the whole lines among the next `max_bytes`. A missing file has no lines yet.

        Raises:
            OSError: the file is there but cannot be read.
        """
        try:
            with self.path.open("rb") as f:
                size = f.seek(0, 2)
                restarted = size < self.offset
                if restarted:
                    self.offset, self._skipping = 0, False
                chunk, at_end = self._chunk(f, size, max_bytes)
        except FileNotFoundError:
            return TailResult(restarted=self._forget())
        events, bad = self._take(chunk)
        self.bad_lines += bad
        return TailResult(tuple(events), bad, at_end, restarted)

    def _forget(self) -> bool:
        """The file is not there; true when it was."""
        had = self.offset > 0
        self.offset, self._skipping = 0, False
        return had

    def _chunk(self, f: BinaryIO, size: int, max_bytes: int) -> tuple[bytes, bool]:
        """At least one whole line if there is one, and whether nothing is left behind it."""
        f.seek(self.offset)
        chunk = f.read(max_bytes)
        while b"\n" not in chunk and len(chunk) < HUGE_LINE_BYTES:
            more = f.read(max(len(chunk), max_bytes))
            if not more:
                break
            chunk += more
        return chunk, self.offset + len(chunk) >= size

    def _take(self, chunk: bytes) -> tuple[list[Event], int]:
        whole = chunk.rfind(b"\n") + 1
        if not whole:
            return [], self._skip_huge(chunk)
        self.offset += whole
        start = 0
        if self._skipping:  # the rest of a line that was too long to keep
            start, self._skipping = chunk.index(b"\n") + 1, False
        return decode_lines(chunk[start:whole])

    def _skip_huge(self, chunk: bytes) -> int:
        """Step over a line without end; counted once."""
        if len(chunk) < HUGE_LINE_BYTES and not self._skipping:
            return 0
        self.offset += len(chunk)
        first, self._skipping = not self._skipping, True
        return int(first)

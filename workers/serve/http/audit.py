"""Who asked what kind of thing when: `audit.jsonl` of the run folder. Never any text.

One line a request, also a refused one. The files of a run are bounded: at `MAX_BYTES` the log is
put aside under a number, and the oldest is dropped.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TextIO

from core.protocol.events import ServeRequest

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 1024 * 1024
KEPT = 4
"""Full files beside the one that is written."""
_LONGEST_PATH = 200


class AuditLog:
    """Appends lines; a disk that is full costs lines, never an answer.

    Args:
        path: of the newest file; older ones lie beside it as `audit-1.jsonl` (the newest of them).
        max_bytes: size of one file.
        kept: older files.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self._path, self._max_bytes, self._kept = path, max_bytes, kept
        self._file: TextIO | None = None
        self._size = 0
        self.lost_lines = 0

    def write(self, request: ServeRequest, client: str) -> None:
        """Append one request."""
        line = {
            "time_utc": round(time.time(), 3),
            "request_id": request.request_id,
            "key": request.key_name,
            "client": client,
            "route": request.route,
            "model": request.model,
            "status": request.status,
            "error": request.error_code,
            "finish_reason": request.finish_reason,
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": request.completion_tokens,
            "total_ms": request.total_ms,
        }
        self._append(json.dumps(line, ensure_ascii=False) + "\n")

    def refused(self, route: str, status: int, error: str, client: str) -> None:
        """Append one that did not get past the door, and so has no key."""
        request = ServeRequest(route=route[:_LONGEST_PATH], status=status, error_code=error)
        self.write(request, client)

    def close(self) -> None:
        """Write what is held."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: str) -> None:
        try:
            file = self._opened()
            file.write(line)
            self._size += len(line.encode())
            if self._size >= self._max_bytes:
                self._turn_over()
        except OSError as e:
            if not self.lost_lines:
                log.warning("the audit log cannot be written: %s", e)
            self.lost_lines += 1
            self._file = None

    def _opened(self) -> TextIO:
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self._path.chmod(0o600)
            self._size = self._path.stat().st_size
        return self._file

    def _turn_over(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._aside(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._aside(number))
        self._size = 0

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{number}{self._path.suffix}")

"""The one way to do slow work off the UI thread.

It gives: a pool of two threads; success or failure back on the UI thread, by polling futures on a
timer (no signal crosses a thread: undecorated callables crash PySide there); silence when the
asker is gone; every failure as an `ErrorInfo`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import shiboken6
from PySide6.QtCore import QObject, QTimer

from core.errors import AppError, ErrorCode, ErrorInfo

_POLL_MS = 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    owner: QObject
    future: Future[Any]
    done: Callable[[Any], None]
    failed: Callable[[ErrorInfo], None]


def to_error_info(error: BaseException) -> ErrorInfo:
    """Any exception as a value that a card can show."""
    if isinstance(error, AppError):
        return error.info
    words = f"{type(error).__name__}: {error}"
    return ErrorInfo(code=ErrorCode.INTERNAL.value, params={"detail": words}, detail=words)


class Background(QObject):
    """`background.run(self, work, self._show, self._say_error)`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="background")
        self._tasks: list[_Task] = []
        self._closed = False
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._collect)

    def run(
        self,
        owner: QObject,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[ErrorInfo], None],
    ) -> None:
        """Call `work` in a thread, then `done` or `failed` here, unless `owner` was deleted."""
        if self._closed:  # the window is going; nobody will look at the answer
            return
        self._tasks.append(_Task(owner, self._pool.submit(work), done, failed))
        self._timer.start()

    @property
    def busy(self) -> bool:
        """Work is under way."""
        return bool(self._tasks)

    def close(self) -> None:
        """Take no more work; what has not begun is dropped."""
        self._closed = True
        self._timer.stop()
        self._tasks.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _collect(self) -> None:
        ready = [t for t in self._tasks if t.future.done()]
        self._tasks = [t for t in self._tasks if not t.future.done()]
        if not self._tasks:
            self._timer.stop()
        for task in ready:
            if shiboken6.isValid(task.owner):
                _deliver(task)


def _deliver(task: _Task) -> None:
    error = task.future.exception()
    if error is None:
        task.done(task.future.result())
        return
    if not isinstance(error, AppError):
        _log.error("background work failed", exc_info=error)
    task.failed(to_error_info(error))

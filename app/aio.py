"""The one module that imports qasync: coroutines for the window's own HTTP calls.

The asyncio loop rides on Qt's: nothing here runs `exec`, and asyncio counts as running only while
one of its callbacks runs, so that code beside it (tests, `asyncio.run`) sees an ordinary thread.
No threads, no subprocesses, no signals of asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("QT_API", "pyside6")

import qasync
from PySide6.QtCore import QCoreApplication

_log = logging.getLogger(__name__)
_tasks: set[asyncio.Task[None]] = set()
_loops: list[_Loop] = []


class _Scoped:
    """A handle of asyncio that runs with its loop entered."""

    def __init__(self, handle: asyncio.Handle, loop: asyncio.AbstractEventLoop) -> None:
        self._handle, self._loop = handle, loop

    @property
    def _cancelled(self) -> bool:
        return self._handle.cancelled()

    def _run(self) -> None:
        with _entered(self._loop):
            self._handle._run()


class _Loop(qasync.QEventLoop):  # type: ignore[misc]
    """qasync's loop driven by whoever runs Qt's."""

    def _add_callback(self, handle: asyncio.Handle, delay: float = 0) -> asyncio.Handle:
        super()._add_callback(_Scoped(handle, self), delay)
        return handle

    def _process_event(self, *args: Any) -> None:
        with _entered(self):
            super()._process_event(*args)


@contextmanager
def _entered(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)


def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start `work` on the UI thread; it gives way at every await. Failures are logged.

    The task is held until it ends; cancel it to stop it.
    """
    task: asyncio.Task[None] = _loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_ended)
    return task


def close() -> None:
    """Cancel what runs and drop the loop; the next `spawn` makes a new one."""
    for task in tuple(_tasks):
        task.cancel()
    app = QCoreApplication.instance()
    for _ in range(50):  # cancelled tasks close their connections on their way out
        if not _tasks or app is None:
            break
        app.processEvents()
    for loop in _loops:
        loop._after_run_forever()
        loop.close()
    _loops.clear()


def _loop() -> _Loop:
    if not _loops:
        app = QCoreApplication.instance()
        assert app is not None, "the window's loop needs its application"
        loop = _Loop(app)
        loop._before_run_forever()
        _loops.append(loop)
        app.aboutToQuit.connect(close)
    return _loops[0]


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a task of the window failed", exc_info=error)

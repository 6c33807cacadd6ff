"""Work with an end: off the event loop, and broken off when it takes too long."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

_T = TypeVar("_T")


class TimeUp(Exception):
    """The work took longer than it may."""


class _BrokenOff(BaseException):
    """Raised inside the thread; no `except Exception` of the work may swallow it."""


class TimedThreads:
    """A few threads for work of clients' making, such as templates over their messages.

    Work that is late is broken off at its next line of Python. Its threads are left to end by
    themselves and new ones take their place, so that late work holds nobody else up.
    """

    def __init__(self, name: str, threads: int, limit_s: float) -> None:
        self._name, self._threads, self._limit_s = name, threads, limit_s
        self._pool = self._new_pool()

    async def run(self, call: Callable[[], _T]) -> _T:
        """The call's result; exceptions pass through.

        Raises:
            TimeUp: it took too long.
        """
        work = _Work(call)
        pool = self._pool
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        try:
            return await asyncio.wait_for(future, self._limit_s)
        except TimeoutError as e:
            if work.interrupt() and self._pool is pool:
                self._pool = self._new_pool()
                pool.shutdown(wait=False)
            raise TimeUp from e

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)


class _Work(Generic[_T]):
    def __init__(self, call: Callable[[], _T]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._thread: int | None = None

    def __call__(self) -> _T:
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return self._call()
        finally:
            with self._lock:
                self._thread = None

    def interrupt(self) -> bool:
        """Break it off where it runs; false when it had not begun or is over."""
        with self._lock:
            if self._thread is None:
                return False
            raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
            raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(_BrokenOff))
            return True

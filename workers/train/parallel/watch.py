"""No process outlives its launcher, and none waits for a main process that is gone.

A process that hangs in a collective cannot look around; a thread of it can, since collectives
release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from workers.train.parallel.launcher import EXIT_PEER_LOST
from workers.train.parallel.seat import Seat

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
LEAVE_S = 5.0
_PR_SET_PDEATHSIG = 1
_STOP, _LEFT = "deepdeck/stop", "deepdeck/left"


class Store(Protocol):
    """The part of torch's `TCPStore` that is used here."""

    def set(self, key: str, value: str) -> None:
        """Write a key."""

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are there; does not wait."""
        ...


def die_with(launcher_pid: int) -> None:
    """End this process when its launcher is gone: at once where the kernel can, else by a look."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform == "win32":  # a parent's number stays there for good
        return
    threading.Thread(target=_look_up, args=(launcher_pid,), name="launcher", daemon=True).start()


def _look_up(launcher_pid: int) -> None:
    never = threading.Event()
    while os.getppid() == launcher_pid:
        never.wait(LOOK_EVERY_S)
    os._exit(EXIT_PEER_LOST)


class Watch:
    """Carries "stop" to the main process and "it has left" from it, by a connection of its own.

    Args:
        seat: of this process.
        store: a connection that nothing else uses.
        stop_heard: whether this process was signaled to stop.
        ask_stop: asks this process to stop.
    """

    def __init__(
        self,
        seat: Seat,
        store: Store,
        stop_heard: Callable[[], bool],
        ask_stop: Callable[[], None],
    ) -> None:
        self._seat = seat
        self._store = store
        self._stop_heard = stop_heard
        self._ask_stop = ask_stop
        self._told = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Look about twice a second from now on."""
        self._thread.start()

    def leave(self) -> None:
        """This process goes; when it is the main one, all go."""
        self._over.set()
        self._thread.join(2 * LOOK_EVERY_S)
        if self._seat.rank == 0:
            try:
                self._store.set(_LEFT, "1")
            except RuntimeError:
                log.info("the others could not be told that the main process leaves")

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            try:
                self._look()
            except RuntimeError:  # torch's DistNetworkError: whoever holds the store is gone
                self._go(EXIT_PEER_LOST)
                return

    def _look(self) -> None:
        if self._stop_heard() and not self._told:
            self._told = True
            self._store.set(_STOP, "1")
        if self._seat.rank == 0:
            if self._store.check([_STOP]):
                self._ask_stop()
        elif self._store.check([_LEFT]):
            self._go(0)

    def _go(self, code: int) -> None:
        """Ask politely, then end a process that hangs. The main one is left to its launcher."""
        self._ask_stop()
        if self._seat.rank != 0 and not self._over.wait(LEAVE_S):
            os._exit(code)

"""Runs an `EngineCore` step by step: one bad step costs its answers, three in a row the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from workers.serve.engines.base import (
    EngineCore,
    EngineError,
    Output,
    Request,
    TokenEvent,
)

log = logging.getLogger(__name__)

FAILURES_TO_DIE = 3
_CARD_IS_LOST = ("CUDA error", "device-side assert", "CUBLAS_STATUS", "CUDNN_STATUS", "NCCL")
"""After one of these every later call on the card fails too: waiting for three is no use."""


class Driver:
    """Knows which answers are open. One thread.

    Args:
        core: a loaded one.
        say: takes what became of requests.
    """

    def __init__(self, core: EngineCore, say: Callable[[list[Output]], None]) -> None:
        self._core, self._say = core, say
        self._open: set[int] = set()
        self._failures_in_a_row = 0
        self.failed = ""
        """Why the core can not be used any more; empty while it can."""

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return self._core.busy

    def add(self, request: Request) -> None:
        """Queue an answer; one that the core does not take is ended with the reason."""
        self._open.add(request.id)
        try:
            self._core.add(request)
        except Exception as e:
            log.warning("a request was not taken", exc_info=e)
            self._tell([(request.id, EngineError(words(e)))])

    def cancel(self, ids: Collection[int]) -> None:
        """Drop answers; nothing more is said of them."""
        self._open.difference_update(ids)
        self._core.cancel(ids)

    def step(self) -> None:
        """One pass, and its events."""
        try:
            outputs = self._core.step()
        except Exception as e:  # noqa: BLE001 - whatever it was, clients must be told
            self._fail(e)
            return
        self._failures_in_a_row = 0
        self._tell(outputs)

    def _tell(self, outputs: list[Output]) -> None:
        known = [(number, item) for number, item in outputs if number in self._open]
        for number, item in known:
            if not isinstance(item, TokenEvent) or item.finish is not None:
                self._open.discard(number)
        if known:
            self._say(known)

    def _fail(self, error: Exception) -> None:
        log.error("a step of the engine failed", exc_info=error)
        self._failures_in_a_row += 1
        reason = words(error)
        lost = any(mark in str(error) for mark in _CARD_IS_LOST)
        if lost or self._failures_in_a_row >= FAILURES_TO_DIE:
            self.failed = reason  # before anybody is told, who may then ask
        doomed = sorted(self._open)
        self._tell([(number, EngineError(reason)) for number in doomed])
        if self.failed:
            return
        try:
            self._core.cancel(doomed)
        except Exception as e:
            log.error("the engine could not drop its answers", exc_info=e)
            self.failed = reason


def words(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

"""Ways to end early that are no failure, and waiting that can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from workers.harness.context import WorkerContext

T = TypeVar("T")


class StopWanted(Exception):
    """A stop was asked for while there was nothing to save yet."""


def check(ctx: WorkerContext) -> None:
    """Leave, if a stop was asked for.

    Raises:
        StopWanted: to be caught by the recipe.
    """
    if ctx.stop_requested:
        raise StopWanted


def interruptible(ctx: WorkerContext, call: Callable[[], T]) -> T:
    """Run a call that cannot be interrupted, such as loading weights, and leave it when a stop is
    asked for. The abandoned thread ends with the process, which has nothing else to do then.

    Raises:
        StopWanted: a stop was asked for.
        BaseException: whatever `call` raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as e:  # noqa: BLE001
            errors.append(e)  # raised again in the caller's thread

    thread = threading.Thread(target=work, name="loading", daemon=True)
    thread.start()
    while thread.is_alive():
        check(ctx)
        thread.join(0.05)
    if errors:
        raise errors[0]
    return results[0]

"""Follow a run to its end from a terminal, and pass Ctrl-C on as a polite stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from app.commands.output import Output
from core.errors import AppError
from core.supervisor import RunView, Supervisor

_TICK_S = 0.05


class Interrupts:
    """Counts Ctrl-C and SIGTERM instead of dying of them.

    With `hang_up` a closed terminal counts too; without, it ends this process and the worker
    lives on.
    """

    def __init__(self, *, hang_up: bool = False) -> None:
        self.count = 0
        self._names = ("SIGINT", "SIGTERM", "SIGBREAK", *(("SIGHUP",) if hang_up else ()))
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (getattr(signal, name, None) for name in self._names):
            if number is not None:
                self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def follow(
    supervisor: Supervisor,
    view: RunView,
    out: Output,
    on_view: Callable[[RunView], None],
    interrupts: Interrupts,
    *,
    stop_text: str = "stopping",
) -> RunView:
    """Tick until the run is over and its process gone; every change goes to `on_view`.

    The first interrupt stops the run politely, the second ends it at once. If this process is
    killed instead, the worker lives on and any face can adopt it. `interrupts` is entered before
    the worker is started: a Ctrl-C in that very moment must not leave it alone.
    """
    obeyed = 0
    while not (view.finished and not view.alive):
        if interrupts.count > obeyed:
            obeyed += 1
            _interrupt(supervisor, view.run_id, out, obeyed, stop_text)
        for changed in supervisor.tick():
            if changed.run_id == view.run_id:
                view = changed
                on_view(view)
        if view.caught_up:
            time.sleep(_TICK_S)
    return view


def _interrupt(
    supervisor: Supervisor, run_id: str, out: Output, count: int, stop_text: str
) -> None:
    out.note(stop_text if count == 1 else "killing")
    try:
        if count == 1:
            supervisor.stop(run_id)
        else:
            supervisor.kill(run_id)
    except AppError:  # it ended by itself in this very moment
        return

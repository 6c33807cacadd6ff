"""When plots are drawn: at most ten times a second, only changed ones, only those on the screen."""

from __future__ import annotations

import time
import weakref
from typing import Protocol

from PySide6.QtCore import QObject, QTimer

LIVE_INTERVAL_S = 0.1
TOUCH_INTERVAL_S = 0.016
"""Under the user's hand (pan, zoom, crosshair) a plot follows the screen's own rate."""


class Drawable(Protocol):
    """What the scheduler draws."""

    def on_screen(self) -> bool:
        """False when hidden, on another page or minimized: then nothing is drawn at all."""

    def draw(self) -> None:
        """Bring the picture up to date."""


class PlotScheduler(QObject):
    """One timer for all plots of the window; it sleeps while nothing changes.

    New data is drawn at once when the last drawing is long enough ago, so a single step after a
    quiet time is on the screen within a frame, and a flood of steps costs ten drawings a second.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.drawings = 0
        """Plots drawn so far."""
        self._dirty: weakref.WeakSet[Drawable] = weakref.WeakSet()
        self._last_s = 0.0
        self._due_s = float("inf")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tick)

    def request(self, plot: Drawable, *, touched: bool = False) -> None:
        """Draw `plot` soon; `touched` when the user moves it."""
        self._dirty.add(plot)
        if plot.on_screen():
            self._wake(TOUCH_INTERVAL_S if touched else LIVE_INTERVAL_S)

    def shown(self, plot: Drawable) -> None:
        """The plot came back on the screen: draw what it missed."""
        if plot in self._dirty:
            self._wake(0.0)

    def pending(self, plot: Drawable) -> bool:
        """The plot waits for its drawing."""
        return plot in self._dirty

    def _wake(self, interval_s: float) -> None:
        now = time.monotonic()
        due = max(now, self._last_s + interval_s)
        if due < self._due_s or not self._timer.isActive():
            self._due_s = due
            self._timer.start(max(0, round((due - now) * 1000)))

    def _tick(self) -> None:
        self._due_s = float("inf")
        for plot in list(self._dirty):
            if plot.on_screen():
                self._dirty.discard(plot)
                plot.draw()
                self.drawings += 1
        self._last_s = time.monotonic()

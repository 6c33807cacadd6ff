"""When a crashed engine is started again: after 1, 2, 4 ... 30 s, and not for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 600.0
"""Crashes further apart than this are not one trouble."""
LONGEST_WAIT_S = 30.0


class Restarts:
    """Counts the crashes of the last minutes.

    Args:
        most: attempts within `WINDOW_S`.
        first_wait_s: before the first; doubles from one to the next.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self, most: int, first_wait_s: float = 1.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._first_wait_s, self._now = most, first_wait_s, now
        self._crashes: deque[float] = deque()

    def next_attempt(self) -> tuple[int, float] | None:
        """Number of the coming attempt and the wait before it; None when it is no use any more."""
        now = self._now()
        while self._crashes and now - self._crashes[0] > WINDOW_S:
            self._crashes.popleft()
        if len(self._crashes) >= self._most:
            return None
        self._crashes.append(now)
        wait_s = min(LONGEST_WAIT_S, self._first_wait_s * 2 ** (len(self._crashes) - 1))
        return len(self._crashes), wait_s

"""What a key may use: requests and tokens a minute, tokens a day.

A minute is the last 60 seconds, exactly: a bucket that refills would let twice the limit through
around a full one. A day is UTC's, because its count must live longer than a server.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from core.api_keys import ApiKey, KeyUse, day_of
from workers.serve.http.errors import ApiError

MINUTE_S = 60.0
_DAY_S = 86_400.0


@dataclass(slots=True)
class Entry:
    """One amount at one moment; may be corrected later."""

    at: float
    amount: int


class SlidingSum:
    """A sum over the last `window_s` seconds."""

    def __init__(self, window_s: float = MINUTE_S) -> None:
        self._window_s = window_s
        self._entries: deque[Entry] = deque()
        self._total = 0

    def used(self, now: float) -> int:
        """The sum now."""
        while self._entries and self._entries[0].at <= now - self._window_s:
            self._total -= self._entries.popleft().amount
        return self._total

    def add(self, now: float, amount: int) -> Entry:
        """Count something."""
        entry = Entry(now, amount)
        self._entries.append(entry)
        self._total += amount
        return entry

    def correct(self, entry: Entry, amount: int) -> None:
        """What was counted turned out to be another amount."""
        if self._entries and entry.at >= self._entries[0].at:
            self._total += amount - entry.amount
        entry.amount = amount

    def wait_s(self, now: float, room: int) -> float:
        """Seconds until the sum is at most `room`."""
        over = self.used(now) - room
        for entry in self._entries:
            if over <= 0:
                break
            over -= entry.amount
            until = entry.at + self._window_s - now
            if over <= 0:
                return max(0.0, until)
        return 0.0 if over <= 0 else self._window_s


@dataclass
class Reservation:
    """What a request may still use; `Meter.settle` says what it did use."""

    entry: Entry
    tokens: int


@dataclass
class Meter:
    """Counts of one key in this server, and what all servers told of its day."""

    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    told: KeyUse = field(default_factory=KeyUse)
    """Of all servers, as far as the home knows."""
    untold: KeyUse = field(default_factory=KeyUse)
    """Of this one, not yet in the home."""
    _requests: SlidingSum = field(default_factory=SlidingSum)
    _tokens: SlidingSum = field(default_factory=SlidingSum)
    _reserved: int = 0

    def reserve(self, key: ApiKey, tokens: int) -> Reservation:
        """Let a request pass that may use so many tokens.

        A request above the whole limit passes when it has the limit to itself: else it would wait
        for ever.

        Raises:
            ApiError: 429, with the time when it would pass.
        """
        now = self.clock()
        self._check_requests(key, now)
        self._check_minute(key, tokens, now)
        self._check_day(key, tokens)
        self._requests.add(now, 1)
        self._reserved += tokens
        return Reservation(self._tokens.add(now, tokens), tokens)

    def settle(self, reservation: Reservation, used: int) -> None:
        """The request is over and used so many tokens."""
        self._tokens.correct(reservation.entry, used)
        self._reserved -= reservation.tokens
        now = self.wall()
        more = KeyUse(last_used_utc=now, day=day_of(now), requests_today=1, tokens_today=used)
        self.untold = self.untold.plus(more)

    def take_untold(self) -> KeyUse | None:
        """What the home does not know yet; it is the caller's now."""
        taken, self.untold = self.untold, KeyUse()
        if not taken.last_used_utc:
            return None
        self.told = self.told.plus(taken)
        return taken

    def _check_requests(self, key: ApiKey, now: float) -> None:
        limit = key.requests_per_minute
        if limit and self._requests.used(now) >= limit:
            wait = self._requests.wait_s(now, limit - 1)
            raise _too_many(f"{limit} requests a minute", "requests_per_minute", wait)

    def _check_minute(self, key: ApiKey, tokens: int, now: float) -> None:
        limit, used = key.tokens_per_minute, self._tokens.used(now)
        if limit and used and used + tokens > limit:
            wait = self._tokens.wait_s(now, max(0, limit - tokens))
            raise _too_many(f"{limit} tokens a minute", "tokens_per_minute", wait)

    def _check_day(self, key: ApiKey, tokens: int) -> None:
        limit, now = key.tokens_per_day, self.wall()
        today = day_of(now)
        used = self.told.on(today).tokens_today + self.untold.on(today).tokens_today
        used += self._reserved
        if limit and used and used + tokens > limit:
            wait = _DAY_S - now % _DAY_S
            raise _too_many(f"{limit} tokens a day", "tokens_per_day", wait)


def _too_many(limit: str, code: str, wait_s: float) -> ApiError:
    return ApiError(
        429,
        f"this key may use {limit}; come again in {max(1, round(wait_s))} s",
        code=code,
        retry_after_s=wait_s,
    )

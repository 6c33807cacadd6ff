"""Admission: who may wait for an answer, and what the others are told.

A request that would wait longer than it may is refused at once, with the time when it is worth
coming again. So the ones that were let in keep their times however many are refused, and what
waits never grows.

The wait is predicted from work: answer tokens, and prompt tokens at a fraction of their price.
Work that waits ahead, over the work a second that was measured while others waited too. Nothing
is predicted before such a time was seen; then only counts bound the wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.config.serve import ServeSpec
from workers.serve.engines.base import Ticket
from workers.serve.http.errors import ApiError, unavailable
from workers.serve.http.keys import Grant

PROMPT_SHARE = 0.1
"""Work of reading a token, where writing one is 1; what it is off by cancels out, since work that
waits and work that was done are counted alike."""
LONE_SHARE = 0.75
"""Of the queue, what one key may fill while there are others: a place stays for who comes next."""
MOST_RETRY_S = 60.0
_RECOUNT_S = 0.02
_OLD_S = 0.1
_TAKEN_S = 0.5
_BUCKET_S = 0.25
_BUCKETS = 40
_ENOUGH_S = 1.0


class WorkRate:
    """Work a second while something waited: what the engine can do, not what it was asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: deque[tuple[float, float]] = deque(maxlen=_BUCKETS)
        self._work = 0.0
        self._since: float | None = None

    def did(self, work: float, waiting: bool) -> None:
        """Count work that was just done; `waiting` whether more was there to do."""
        now = self._clock()
        if not waiting:
            self._work, self._since = 0.0, None
            return
        if self._since is None:  # what came before cannot be put on a clock
            self._work, self._since = 0.0, now
            return
        self._work += work
        if now - self._since >= _BUCKET_S:
            self._buckets.append((self._work, now - self._since))
            self._work, self._since = 0.0, now

    @property
    def per_second(self) -> float | None:
        """None until a second of full load was seen."""
        seconds = sum(s for _, s in self._buckets)
        work = sum(w for w, _ in self._buckets)
        return work / seconds if seconds >= _ENOUGH_S and work > 0 else None


@dataclass(eq=False)
class Permit:
    """A request that was let in. `tickets` are its answers, put in by who submits them."""

    grant: Grant
    prompt_tokens: int
    answers: int
    work_each: float
    admitted_at: float = 0.0
    tickets: list[Ticket] = field(default_factory=list)

    def count(self) -> tuple[int, int]:
        """Answers that wait for their turn, and those being made, as far as the engine told."""
        begun = over = 0
        for ticket in self.tickets:  # a loop, not two sums: this is done often
            if ticket.finished:
                over += 1
            elif ticket.started_at is not None:
                begun += 1
        return self.answers - begun - over, begun


@dataclass(frozen=True)
class Waiting:
    """The queue at one moment."""

    answers: int = 0
    prompt_tokens: int = 0
    work: float = 0.0
    free: int = 0
    by_key: dict[str, int] = field(default_factory=dict)

    def joined(self, permit: Permit) -> Waiting:
        """With one more request, which takes what is free first."""
        more = max(0, permit.answers - self.free)
        key = permit.grant.id
        return replace(
            self,
            answers=self.answers + more,
            prompt_tokens=self.prompt_tokens + permit.prompt_tokens * more // permit.answers,
            work=self.work + more * permit.work_each,
            free=max(0, self.free - permit.answers),
            by_key=self.by_key | {key: self.by_key.get(key, 0) + permit.answers},
        )


class Admission:
    """The door. Used on the event loop only.

    Args:
        spec: `queue_limit`, `queue_limit_tokens`, `queue_timeout_s`.
        capacity: how many answers it makes together.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        spec: ServeSpec,
        capacity: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec, self._capacity, self._clock = spec, capacity, clock
        self._permits: dict[Permit, None] = {}
        self._counted = Waiting()
        self._counted_at = -1.0
        self._answer_tokens = float(spec.default_new_tokens)
        self.rate = WorkRate(clock)

    def admit(
        self,
        grant: Grant,
        *,
        prompt_tokens: int,
        answers: int,
        new_tokens: int,
        others: bool = False,
    ) -> Permit:
        """Let a request in, or say when to come again.

        Args:
            grant: whose it is.
            prompt_tokens: of all its prompts together.
            answers: how many it wants.
            new_tokens: the most each of them may have.
            others: whether there are other keys to leave room for.

        Raises:
            ApiError: 503 (`queue_full`, `queue_slow`) or 429 (`key_share_used`).
        """
        expected = min(float(new_tokens), self._answer_tokens)
        work_each = expected + PROMPT_SHARE * prompt_tokens / answers
        permit = Permit(grant, prompt_tokens, answers, work_each, self._clock())
        queue = self.waiting()
        if self._permits and answers > queue.free:  # alone, anything may try
            self._check(queue, permit, others)
        self._permits[permit] = None
        self._counted = queue.joined(permit)
        return permit

    def leave(self, permit: Permit, completion_tokens: int, complete: bool) -> None:
        """A request is over."""
        if permit not in self._permits:
            return
        del self._permits[permit]
        self._counted_at = -1.0
        if complete:
            length = completion_tokens / permit.answers
            self._answer_tokens += 0.05 * (length - self._answer_tokens)

    def did(self, prompt_tokens: int, answer_tokens: int) -> None:
        """The engine read or wrote so many tokens."""
        work = PROMPT_SHARE * prompt_tokens + answer_tokens
        self.rate.did(work, self.waiting(_OLD_S).answers > 0)

    def waiting(self, not_older_s: float = _RECOUNT_S) -> Waiting:
        """The queue now. Counting looks at every answer, so it is not done for every question."""
        now = self._clock()
        if self._counted_at < 0 or now - self._counted_at >= not_older_s:
            self._counted, self._counted_at = self._count(), now
        return self._counted

    def wait_s(self, queue: Waiting | None = None) -> float | None:
        """How long a request that comes now would wait for its turn; None when nobody can tell."""
        queue = queue or self.waiting()
        if queue.answers == 0:
            return 0.0
        rate = self.rate.per_second
        return None if rate is None else queue.work / rate

    @property
    def retry_after_s(self) -> float:
        """When half of those who wait now had their turn; a guess while nothing was measured."""
        wait = self.wait_s()
        return 2.0 if wait is None else min(MOST_RETRY_S, max(1.0, wait / 2))

    def _count(self) -> Waiting:
        unstarted = stuck = running = tokens = 0
        old = self._clock() - _TAKEN_S
        work, by_key = 0.0, dict[str, int]()
        for permit in self._permits:
            count, begun = permit.count()
            running += begun
            if count:
                unstarted += count
                stuck += count if permit.admitted_at < old else 0
                tokens += permit.prompt_tokens
                work += count * permit.work_each
                by_key[permit.grant.id] = by_key.get(permit.grant.id, 0) + count
        free = max(0, self._capacity() - running)
        # The engine had no time yet to take what came just now; what it has not taken for a while
        # although it has places waits for memory.
        waiting = max(0, unstarted - free, stuck)
        share = waiting / unstarted if unstarted else 0.0
        free = max(0, free - unstarted) if not waiting else 0
        return Waiting(waiting, round(tokens * share), work * share, free, by_key)

    def _check(self, queue: Waiting, permit: Permit, others: bool) -> None:
        limit = self._spec.queue_limit
        after = queue.answers + permit.answers - queue.free
        if after > limit:
            raise self._full(f"{queue.answers} requests are waiting, the limit is {limit}")
        tokens = queue.prompt_tokens + permit.prompt_tokens
        if tokens > self._spec.queue_limit_tokens and queue.answers:
            raise self._full(
                f"{queue.prompt_tokens} prompt tokens are waiting, the limit is "
                f"{self._spec.queue_limit_tokens}"
            )
        wait = self.wait_s(queue)
        if wait is not None and wait > self._spec.queue_timeout_s:
            over = wait - self._spec.queue_timeout_s
            raise unavailable(
                f"the wait would be {wait:.0f} s, the limit is {self._spec.queue_timeout_s:g} s",
                "queue_slow",
                min(MOST_RETRY_S, max(over, self.retry_after_s)),
            )
        if others:
            self._check_share(queue, permit, limit)

    def _full(self, message: str) -> ApiError:
        return unavailable(message, "queue_full", self.retry_after_s)

    def _check_share(self, queue: Waiting, permit: Permit, limit: int) -> None:
        waiting = {**queue.by_key, permit.grant.id: queue.by_key.get(permit.grant.id, 0)}
        share = limit * LONE_SHARE if len(waiting) == 1 else limit / len(waiting)
        if waiting[permit.grant.id] + permit.answers > max(1, int(share)):
            raise ApiError(
                429,
                f"this key has {waiting[permit.grant.id]} requests waiting, its share of the queue "
                f"is {max(1, int(share))}",
                code="key_share_used",
                retry_after_s=self.retry_after_s,
            )

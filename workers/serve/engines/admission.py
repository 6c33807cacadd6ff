"""Who may still wait: a bound on requests and on the prompt tokens that they bring."""

from __future__ import annotations

from collections.abc import Iterable

from workers.serve.engines.base import QueueFull, Ticket


class Admission:
    """Asked before each request.

    Args:
        most_waiting: requests that may wait, beside those that run.
        most_waiting_tokens: prompt tokens of those that wait, together. A request that waits
            alone is always taken.
    """

    def __init__(self, most_waiting: int, most_waiting_tokens: int) -> None:
        self._most_waiting, self._most_tokens = most_waiting, most_waiting_tokens

    def check(self, open_tickets: Iterable[Ticket], prompt_tokens: int, places: int) -> None:
        """Let one more in, or not.

        Args:
            open_tickets: all that are not finished.
            prompt_tokens: of the new one.
            places: requests that the engine generates together.

        Raises:
            QueueFull: no more can wait.
        """
        running, waiting, tokens = 0, 0, 0
        for ticket in open_tickets:
            if ticket.started_at is not None:
                running += 1
            else:
                waiting += 1
                tokens += len(ticket.prompt)
        free = max(0, places - running)
        if waiting >= self._most_waiting + free:
            raise QueueFull(waiting, self._most_waiting)
        if waiting >= free and waiting and tokens + prompt_tokens > self._most_tokens:
            raise QueueFull(waiting, self._most_waiting)

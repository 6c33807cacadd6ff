"""The last requests with their text, in memory only, to be opened in the chat by the owner."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 32 * 1024 * 1024
"""Of all remembered requests together."""
_LONGEST = 256 * 1024
"""Of one; longer ones are not remembered."""
_OVERHEAD = 1024


@dataclass
class Heard:
    """One answer as it came."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    def document(self) -> dict[str, str]:
        """Joined."""
        return {"content": "".join(self.content), "reasoning": "".join(self.reasoning)}


@dataclass
class Remembered:
    """What was asked and what was answered."""

    request_id: str
    body: dict[str, Any]
    answers: dict[int, Heard] = field(default_factory=dict)
    size: int = 0

    def heard(self, index: int, content: str, reasoning: str) -> None:
        """Another piece of an answer."""
        if self.size > _LONGEST:
            return
        answer = self.answers.setdefault(index, Heard())
        if content:
            answer.content.append(content)
        if reasoning:
            answer.reasoning.append(reasoning)
        self.size += len(content) + len(reasoning)

    def document(self) -> dict[str, Any]:
        """As JSON: `request` is the body as it was sent, `answers` in the order of choices."""
        answers = [self.answers[i].document() for i in sorted(self.answers)]
        return {"request_id": self.request_id, "request": self.body, "answers": answers}


class RequestMemory:
    """The newest `most` requests, and no more than `MOST_BYTES` of them."""

    def __init__(self, most: int, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, Remembered] = OrderedDict()
        self._bytes = 0

    def keep(self, remembered: Remembered) -> None:
        """Take in a request that is over."""
        if not self._most or remembered.size > _LONGEST:
            return
        self._kept[remembered.request_id] = remembered
        self._bytes += remembered.size + _OVERHEAD
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size + _OVERHEAD

    def find(self, request_id: str) -> dict[str, Any] | None:
        """One of them."""
        found = self._kept.get(request_id)
        return found.document() if found else None

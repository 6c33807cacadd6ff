"""One training sample, whatever form its file had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A conversation, or plain text: exactly one of the two is filled.

    Of a conversation only what the assistant says is trained; of plain text, all.
    """

    messages: tuple[Message, ...] = ()
    text: str = ""

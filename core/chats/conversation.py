"""A conversation as it stands in a file."""

from __future__ import annotations

import secrets
import time

from pydantic import BaseModel, ConfigDict, Field

_TITLE_CHARACTERS = 60


class _Saved(BaseModel):
    """Fields of a newer DeepDeck are left alone; those that are missing have defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SavedAnswer(_Saved):
    """One version of what one model said."""

    model: str = ""
    text: str = ""
    reasoning: str = ""
    finish: str = ""
    """As the API says it, or "stopped" (by the user), "broken" (by an error)."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    ttft_ms: float | None = None
    tokens_per_second: float | None = None
    thought_s: float | None = None


class SavedColumn(_Saved):
    """All versions of one model's answer, and which of them is shown."""

    versions: tuple[SavedAnswer, ...] = ()
    shown: int = 0

    @property
    def answer(self) -> SavedAnswer | None:
        """The version that is shown."""
        if not self.versions:
            return None
        return self.versions[min(max(self.shown, 0), len(self.versions) - 1)]


class SavedTurn(_Saved):
    """A question and its answers; several columns stand side by side."""

    question: str = ""
    columns: tuple[SavedColumn, ...] = ()


class Conversation(_Saved):
    """All of it."""

    v: int = 1
    chat_id: str = ""
    title: str = ""
    named: bool = False
    """The user gave the title, so that it is not taken from the first question again."""
    created_utc: float = Field(default_factory=time.time)
    updated_utc: float = Field(default_factory=time.time)
    system: str = ""
    parameters: dict[str, object] = {}
    turns: tuple[SavedTurn, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Who answered, each once, in the order of the first answer."""
        found = (c.answer.model for t in self.turns for c in t.columns if c.answer)
        return tuple(dict.fromkeys(m for m in found if m))


def new_chat_id() -> str:
    """Sorts by time; unguessable enough that two windows never meet."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)


def title_of(question: str) -> str:
    """The first line of a question, short enough for a list."""
    first = next((line.strip() for line in question.splitlines() if line.strip()), "")
    return first if len(first) <= _TITLE_CHARACTERS else first[: _TITLE_CHARACTERS - 1] + "…"

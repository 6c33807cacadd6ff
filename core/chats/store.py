"""The folder of kept conversations: one JSON file each, readable by its owner alone."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core import atomic_io
from core.chats.conversation import Conversation
from core.errors import AppError, ErrorCode
from core.paths import Home

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_PROMPTS = ".system-prompts.json"


@dataclass(frozen=True)
class ChatSummary:
    """A conversation in a list."""

    chat_id: str
    title: str
    updated_utc: float
    turns: int
    models: tuple[str, ...]
    words: str
    """All that was said, in small letters, to search in."""

    def matches(self, search: str) -> bool:
        """Whether every word of `search` occurs somewhere."""
        return all(word in self.words for word in search.casefold().split())


class ChatStore:
    """Every method reads or writes files: call it off the UI thread where there are many."""

    def __init__(self, home: Home) -> None:
        self.folder = home.chats

    def list(self) -> list[ChatSummary]:
        """All that can be read, newest first; a damaged file hides no other."""
        found = []
        for path in self.folder.glob("[!.]*.json"):
            try:
                found.append(_summary(self.load(path.stem)))
            except (AppError, OSError):
                continue
        return sorted(found, key=lambda c: c.updated_utc, reverse=True)

    def load(self, chat_id: str) -> Conversation:
        """One conversation.

        Raises:
            AppError: `file.damaged` with the reason; a missing file is one.
        """
        path = self._path(chat_id)
        try:
            document = Conversation.model_validate(atomic_io.read_json(path))
        except FileNotFoundError as e:
            raise AppError(ErrorCode.FILE_DAMAGED, path=str(path), detail=str(e)) from e
        except ValidationError as e:
            first = e.errors(include_input=False, include_url=False)[0]["msg"]
            raise AppError(ErrorCode.FILE_DAMAGED, path=str(path), detail=first) from e
        return document.model_copy(update={"chat_id": path.stem})

    def save(self, chat: Conversation) -> None:
        """Write it, whole or not at all.

        Raises:
            AppError: `disk.full` or `folder.read_only`.
        """
        text = json.dumps(chat.model_dump(mode="json"), ensure_ascii=False, indent=1)
        atomic_io.write_text(self._path(chat.chat_id), text + "\n", mode=0o600)

    def rename(self, chat_id: str, title: str) -> Conversation:
        """Give it another title; it keeps its place in the list."""
        chat = self.load(chat_id).model_copy(update={"title": title.strip(), "named": True})
        self.save(chat)
        return chat

    def delete(self, chat_id: str) -> Conversation:
        """Remove the file; what is returned can be saved again."""
        chat = self.load(chat_id)
        self._path(chat_id).unlink(missing_ok=True)
        return chat

    # system prompts

    def prompts(self) -> dict[str, str]:
        """Saved system prompts by name."""
        try:
            raw = atomic_io.read_json(self.folder / _PROMPTS)
        except (AppError, OSError):
            return {}
        return {str(k): str(v) for k, v in raw.items()} if isinstance(raw, dict) else {}

    def save_prompts(self, prompts: dict[str, str]) -> None:
        """Replace them all."""
        text = json.dumps(prompts, ensure_ascii=False, indent=1)
        atomic_io.write_text(self.folder / _PROMPTS, text + "\n", mode=0o600)

    def _path(self, chat_id: str) -> Path:
        if not _ID.fullmatch(chat_id):  # never a way out of the folder
            raise AppError(ErrorCode.FILE_DAMAGED, path=chat_id, detail="not a name of a chat")
        return self.folder / f"{chat_id}.json"


def _summary(chat: Conversation) -> ChatSummary:
    answers = [c.answer.text for t in chat.turns for c in t.columns if c.answer]
    words = [chat.title, *chat.models, *(t.question for t in chat.turns), *answers]
    return ChatSummary(
        chat_id=chat.chat_id,
        title=chat.title,
        updated_utc=chat.updated_utc or time.time(),
        turns=len(chat.turns),
        models=chat.models,
        words="\n".join(words).casefold(),
    )

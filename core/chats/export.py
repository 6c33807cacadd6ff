"""A conversation as a document to read, to keep, or to train on."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.chats.conversation import Conversation, SavedAnswer, SavedTurn


@dataclass(frozen=True)
class MarkdownWords:
    """The document's own words, in the language of the window."""

    question: str = "Question"
    system: str = "System prompt"
    thought: str = "Thought"


def as_markdown(chat: Conversation, words: MarkdownWords | None = None) -> str:
    """Headings for who speaks; thoughts as a quote, so that no viewer needs HTML for them."""
    words = words or MarkdownWords()
    parts = [f"# {chat.title}"] if chat.title else []
    if chat.system.strip():
        parts += [f"**{words.system}**", _quoted(chat.system.strip())]
    for turn in chat.turns:
        parts += [f"## {words.question}", turn.question]
        for column in turn.columns:
            if column.answer is not None:
                parts += _answer(column.answer, words)
    return "\n\n".join(parts) + "\n"


def as_json(chat: Conversation) -> str:
    """Everything: all versions, thoughts, counts of tokens, speeds."""
    return json.dumps(chat.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def as_training(chat: Conversation) -> str:
    """JSON lines of `messages`, the form that datasets have: one line a model that answered.

    The versions that are shown count. Turns whose answer is missing, stopped or broken are left
    out, and so are thoughts: chat templates drop those of earlier turns, a dataset must not
    teach what no prompt will ever show. Empty when nothing is left.
    """
    columns = max((len(t.columns) for t in chat.turns), default=0)
    lines = []
    for number in range(columns):
        messages = _messages(chat, number)
        if messages:
            lines.append(json.dumps({"messages": messages}, ensure_ascii=False))
    return "".join(line + "\n" for line in lines)


def _messages(chat: Conversation, number: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for turn in chat.turns:
        answer = _usable(turn, number)
        if answer is not None:
            found.append({"role": "user", "content": turn.question})
            found.append({"role": "assistant", "content": answer.text})
    if found and chat.system.strip():
        found.insert(0, {"role": "system", "content": chat.system.strip()})
    return found


def _usable(turn: SavedTurn, number: int) -> SavedAnswer | None:
    if number >= len(turn.columns):
        return None
    answer = turn.columns[number].answer
    whole = answer is not None and answer.finish in ("stop", "") and answer.text.strip()
    return answer if whole else None


def _answer(answer: SavedAnswer, words: MarkdownWords) -> list[str]:
    parts = [f"## {answer.model}"]
    if answer.reasoning.strip():
        parts += [f"**{words.thought}**", _quoted(answer.reasoning.strip())]
    return [*parts, answer.text.strip()]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())

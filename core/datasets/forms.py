"""The sample forms that data files have in the wild, and how a row of each becomes a `Sample`.

| form | columns |
| --- | --- |
| messages | `messages: [{"role", "content"}]` (OpenAI, TRL) |
| sharegpt | `conversations: [{"from", "value"}]`, `system` optional |
| alpaca | `instruction`, `output`, optional `input`, `system`, `history: [[question, answer]]` |
| prompt_completion | `prompt`, `completion`: a question and its answer, or lists of messages |
| text | `text`: trained as it stands |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from core.datasets.sample import Message, Role, Sample


class SampleForm(StrEnum):
    """What the rows of a file look like."""

    MESSAGES = "messages"
    SHAREGPT = "sharegpt"
    ALPACA = "alpaca"
    PROMPT_COMPLETION = "prompt_completion"
    TEXT = "text"


class BadSampleError(ValueError):
    """The row has the right columns, but what is in them cannot be trained on."""


class BadColumnsError(ValueError):
    """The row has not the columns of its form."""


_COLUMNS: dict[SampleForm, frozenset[str]] = {
    SampleForm.MESSAGES: frozenset({"messages"}),
    SampleForm.SHAREGPT: frozenset({"conversations"}),
    SampleForm.ALPACA: frozenset({"instruction", "output"}),
    SampleForm.PROMPT_COMPLETION: frozenset({"prompt", "completion"}),
    SampleForm.TEXT: frozenset({"text"}),
}

_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


def detect_form(row: object) -> SampleForm | None:
    """The form whose columns `row` has, the more specific first; None when it has none."""
    if not isinstance(row, dict):
        return None
    return next((form for form, columns in _COLUMNS.items() if columns <= row.keys()), None)


def parse_row(form: SampleForm, row: object) -> Sample:
    """The sample of one row.

    Raises:
        BadColumnsError: a column of the form is missing.
        BadSampleError: a column holds something that cannot be trained on.
    """
    if not isinstance(row, dict) or not _COLUMNS[form] <= row.keys():
        raise BadColumnsError(columns_found(row))
    sample = _PARSERS[form](row)
    _check(sample)
    return sample


def columns_found(row: object) -> str:
    """What a row has instead, for the error's text."""
    if isinstance(row, dict):
        return ", ".join(sorted(map(str, row)))[:200] or "{}"
    return type(row).__name__


def _from_messages(row: dict[str, Any]) -> Sample:
    return Sample(messages=tuple(_messages(row["messages"])))


def _from_sharegpt(row: dict[str, Any]) -> Sample:
    turns = row["conversations"]
    if not isinstance(turns, list):
        raise BadSampleError("conversations is not a list")
    return Sample(messages=(*_system(row), *_messages([_renamed(turn) for turn in turns])))


def _renamed(turn: object) -> object:
    if not isinstance(turn, dict):
        return turn
    return {
        "role": turn.get("from", turn.get("role")),
        "content": turn.get("value", turn.get("content")),
    }


def _from_alpaca(row: dict[str, Any]) -> Sample:
    question = _text(row["instruction"], "instruction")
    if extra := _text(row.get("input") or "", "input"):
        question = f"{question}\n{extra}"
    messages = [*_system(row), *_history(row.get("history") or [])]
    messages += [Message("user", question), Message("assistant", _text(row["output"], "output"))]
    return Sample(messages=tuple(messages))


def _history(pairs: object) -> Iterable[Message]:
    if not isinstance(pairs, list):
        raise BadSampleError("history is not a list of [question, answer]")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadSampleError("history is not a list of [question, answer]")
        yield Message("user", _text(pair[0], "history"))
        yield Message("assistant", _text(pair[1], "history"))


def _from_prompt_completion(row: dict[str, Any]) -> Sample:
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        return Sample(messages=tuple(_messages([*prompt, *completion])))
    return Sample(
        messages=(
            *_system(row),
            Message("user", _text(prompt, "prompt")),
            Message("assistant", _text(completion, "completion")),
        )
    )


def _from_text(row: dict[str, Any]) -> Sample:
    return Sample(text=_text(row["text"], "text"))


_PARSERS: dict[SampleForm, Callable[[dict[str, Any]], Sample]] = {
    SampleForm.MESSAGES: _from_messages,
    SampleForm.SHAREGPT: _from_sharegpt,
    SampleForm.ALPACA: _from_alpaca,
    SampleForm.PROMPT_COMPLETION: _from_prompt_completion,
    SampleForm.TEXT: _from_text,
}


def _system(row: dict[str, Any]) -> tuple[Message, ...]:
    text = _text(row.get("system") or "", "system")
    return (Message("system", text),) if text else ()


def _messages(turns: object) -> Iterable[Message]:
    if not isinstance(turns, list) or not turns:
        raise BadSampleError("the list of messages is empty or not a list")
    for turn in turns:
        if not isinstance(turn, dict):
            raise BadSampleError("a message is not an object")
        yield _message(turn)


def _message(turn: dict[str, Any]) -> Message:
    role = _ROLES.get(str(turn.get("role")))
    if role is None:
        raise BadSampleError(f"unknown role {str(turn.get('role'))[:40]!r}")
    if turn.get("tool_calls"):
        raise BadSampleError("tool calls are not supported yet")
    content = _content(turn.get("content"))
    # DeepSeek's API and Qwen's templates keep what the model thought in a field of its own.
    if thought := turn.get("reasoning_content"):
        content = f"<think>\n{_text(thought, 'reasoning_content')}\n</think>\n\n{content}"
    return Message(role, content)


def _content(value: object) -> str:
    if isinstance(value, list):
        parts = [p for p in value if isinstance(p, dict) and p.get("type") == "text"]
        if len(parts) != len(value):
            raise BadSampleError("a message holds something other than text")
        return "".join(_text(part.get("text"), "content") for part in parts)
    return _text(value, "content")


def _text(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise BadSampleError(f"{column} is not text but {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as e:  # "\ud800" alone is legal JSON, and no text
        raise BadSampleError(f"{column} holds half of a surrogate pair") from e
    return value


def _check(sample: Sample) -> None:
    if not sample.messages:
        if not sample.text.strip():
            raise BadSampleError("the text is empty")
        return
    answers = [m.content for m in sample.messages if m.role == "assistant"]
    if not answers:
        raise BadSampleError("no message of the assistant to learn from")
    if not any(answer.strip() for answer in answers):
        raise BadSampleError("every answer of the assistant is empty")
    if any(m.role == "system" for m in sample.messages[1:]):
        raise BadSampleError("a system message may only come first")

"""A conversation with one local API: turns, streaming, stop, once more. No widgets in here."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QObject, Signal

from app import aio
from core.errors import ErrorCode, ErrorInfo

_CONNECT_S = 10.0


@dataclass
class Answer:
    """What one model said to one question."""

    model: str
    text: str = ""
    reasoning: str = ""
    running: bool = True
    error: str = ""
    finish: str = ""
    """stop, length, or stopped by the user."""
    tokens: int = 0
    started_s: float = field(default_factory=time.monotonic)
    first_s: float | None = None
    ended_s: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of the writing, without the wait before the first token."""
        if self.first_s is None or self.tokens < 2:
            return None
        seconds = (self.ended_s or time.monotonic()) - self.first_s
        return (self.tokens - 1) / seconds if seconds > 0 else None

    @property
    def ttft_ms(self) -> float | None:
        """Wait before the first token."""
        return None if self.first_s is None else (self.first_s - self.started_s) * 1000


@dataclass
class Turn:
    """A question and its answers: one, or one a model side by side."""

    question: str
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True)
class ChatSettings:
    """What goes with every question."""

    temperature: float = 0.7
    max_tokens: int = 200
    seed: int | None = None
    system: str = ""


class ChatModel(QObject):
    """`ask` streams an answer into the last turn; `changed` comes with every piece."""

    changed = Signal()
    """The text or state of the last turn."""
    turns_changed = Signal()
    """Turns came or went."""
    busy_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.turns: list[Turn] = []
        self.settings = ChatSettings()
        self.url = ""
        self.models: tuple[str, ...] = ()
        """Who answers: one, or several side by side."""
        self._key = ""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def busy(self) -> bool:
        """An answer is being written."""
        return bool(self._tasks)

    @property
    def can_ask(self) -> bool:
        """There is somebody to ask and nothing under way."""
        return bool(self.url and self.models) and not self.busy

    def use(self, url: str, key: str, models: tuple[str, ...]) -> None:
        """Talk to this server from now on; the conversation stays."""
        self.url, self._key, self.models = url, key, models

    def ask(self, question: str) -> None:
        """Put a question; nothing happens while an answer runs or without a server."""
        if self.can_ask and question.strip():
            self.turns.append(Turn(question.strip()))
            self._answer(self.turns[-1])

    def regenerate(self) -> None:
        """Ask the last question again."""
        if self.can_ask and self.turns:
            self._answer(self.turns[-1])

    def stop(self) -> None:
        """Leave the stream; what is written stays."""
        for task in self._tasks:
            task.cancel()

    def clear(self) -> None:
        """Forget the conversation."""
        self.stop()
        self.turns = []
        self.turns_changed.emit()

    def _answer(self, turn: Turn) -> None:
        turn.answers = [Answer(model) for model in self.models]
        for number, answer in enumerate(turn.answers):
            task = aio.spawn(self._stream(answer, self._messages(number)))
            task.add_done_callback(self._done)
            self._tasks.append(task)
        self.turns_changed.emit()
        self.busy_changed.emit()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        self.changed.emit()
        if not self._tasks:
            self.busy_changed.emit()

    def _messages(self, number: int) -> list[dict[str, str]]:
        """The conversation as the model in column `number` lived it."""
        messages = []
        if self.settings.system.strip():
            messages.append({"role": "system", "content": self.settings.system.strip()})
        for turn in self.turns:
            messages.append({"role": "user", "content": turn.question})
            if turn is not self.turns[-1] and turn.answers:
                said = turn.answers[min(number, len(turn.answers) - 1)].text
                messages.append({"role": "assistant", "content": said})
        return messages

    async def _stream(self, answer: Answer, messages: list[dict[str, str]]) -> None:
        body: dict[str, Any] = {
            "model": answer.model,
            "messages": messages,
            "temperature": self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.settings.seed is not None:
            body["seed"] = self.settings.seed
        try:
            async for document in sse_documents(self.url, self._key, body):
                self._take(answer, document)
        except asyncio.CancelledError:
            answer.finish = "stopped"
        except ApiFailed as e:
            answer.error = str(e)
        finally:
            answer.running = False
            answer.ended_s = time.monotonic()

    def _take(self, answer: Answer, document: dict[str, Any]) -> None:
        if error := document.get("error"):
            raise ApiFailed(str(error.get("message") or error))
        if usage := document.get("usage"):
            answer.tokens = int(usage.get("completion_tokens", answer.tokens))
        for choice in document.get("choices") or ():
            delta = choice.get("delta") or {}
            text, thought = delta.get("content") or "", delta.get("reasoning_content") or ""
            if text or thought:
                answer.first_s = answer.first_s or time.monotonic()
                answer.tokens += 1
            answer.text += text
            answer.reasoning += thought
            answer.finish = choice.get("finish_reason") or answer.finish
        self.changed.emit()


class ApiFailed(Exception):
    """The API said no, or nothing."""


async def sse_documents(url: str, key: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The JSON documents of a streamed chat.

    Raises:
        ApiFailed: with the server's own words, or those of the connection.
    """
    import httpx  # 0.1 s, so not before the first question

    headers = {"Authorization": f"Bearer {key}"}
    timeout = httpx.Timeout(None, connect=_CONNECT_S)
    try:
        # Not through a proxy of the environment: the API is on this machine.
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as client,
            client.stream(
                "POST", f"{url}/v1/chat/completions", json=body, headers=headers
            ) as response,
        ):
            if response.status_code != 200:
                raise ApiFailed(_words(await response.aread(), response.status_code))
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))
    except httpx.HTTPError as e:
        raise ApiFailed(str(e) or type(e).__name__) from e


async def model_names(url: str, key: str) -> list[str]:
    """Names that a server answers to, its default first.

    Raises:
        ApiFailed: it does not answer.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with httpx.AsyncClient(timeout=_CONNECT_S, trust_env=False) as client:
            response = await client.get(f"{url}/v1/models", headers=headers)
            response.raise_for_status()
            return [str(m["id"]) for m in response.json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError) as e:
        raise ApiFailed(str(e) or type(e).__name__) from e


def _words(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"


def as_error(words: str) -> ErrorInfo:
    """What the API said, for a card."""
    return ErrorInfo(code=ErrorCode.ENGINE_FAILED.value, params={"detail": words}, detail=words)

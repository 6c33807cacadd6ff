"""What was asked and answered, and how it is to be answered. Plain data, no Qt."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from app.viewmodels.chat_client import Problem
from core.chats import SavedAnswer, SavedColumn, SavedTurn

_TEXT_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True)
class ChatSettings:
    """What goes with every question. None leaves it to the model's maker or to the server."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int = 1024
    seed: int | None = None
    stop: tuple[str, ...] = ()
    system: str = ""
    form: str = "text"
    """text, json_object or json_schema."""
    schema: str = ""
    thinking: bool | None = None

    @property
    def schema_problem(self) -> str:
        """What is wrong with the schema, in JSON's own words; empty when nothing is."""
        if self.form != "json_schema":
            return ""
        try:
            found = json.loads(self.schema)
        except ValueError as e:
            return str(e)
        return "" if isinstance(found, dict) else "{ … }"

    def body(self, thinking_switch: str | None = None) -> dict[str, Any]:
        """The fields of a request, only those that were set."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
        made = {n: v for n in names if (v := getattr(self, n)) is not None}
        made["max_tokens"] = self.max_tokens
        if self.stop:
            made["stop"] = list(self.stop)
        if self.form == "json_object":
            made["response_format"] = {"type": "json_object"}
        if self.form == "json_schema":
            named = {"name": "answer", "schema": json.loads(self.schema)}
            made["response_format"] = {"type": "json_schema", "json_schema": named}
        if thinking_switch and self.thinking is not None:
            made["chat_template_kwargs"] = {thinking_switch: self.thinking}
        return made

    def document(self) -> dict[str, object]:
        """For a file; the system prompt has its own place there."""
        return {k: v for k, v in asdict(self).items() if k != "system" and v not in (None, (), "")}

    @classmethod
    def of(cls, document: dict[str, Any], system: str = "") -> ChatSettings:
        """From a file or a request; what is unknown or of another kind is left at its default."""
        made = cls(system=system)
        for part in fields(cls):
            value = document.get(part.name)
            if part.name != "system" and value is not None:
                made = _with(made, part.name, value)
        return made


_INT = ("top_k", "max_tokens", "seed")
_FLOAT = ("temperature", "top_p", "min_p", "repetition_penalty")


def _with(made: ChatSettings, name: str, value: Any) -> ChatSettings:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _INT and number:
        value = int(value)
    elif name in _FLOAT and number:
        value = float(value)
    elif name in (*_INT, *_FLOAT):
        return made
    if name in (*_INT, *_FLOAT):
        changed: dict[str, Any] = {name: value}
        return replace(made, **changed)
    if name == "stop":
        stops = [value] if isinstance(value, str) else value
        if isinstance(stops, Sequence):
            return replace(made, stop=tuple(str(s) for s in stops))
    if name == "thinking" and isinstance(value, bool):
        return replace(made, thinking=value)
    if name == "schema" and isinstance(value, str):
        return replace(made, schema=value)
    if name == "form" and value in _TEXT_FORMATS:
        return replace(made, form=str(value))
    return made


def settings_of_request(body: dict[str, Any], system: str) -> ChatSettings:
    """How a client asked, as the chat's own settings."""
    found = dict(body)
    if "max_completion_tokens" in body:
        found["max_tokens"] = body["max_completion_tokens"]
    form = body.get("response_format")
    if isinstance(form, dict):
        found["form"] = form.get("type")
        inner = form.get("json_schema")
        if isinstance(inner, dict):
            found["schema"] = json.dumps(inner.get("schema"), ensure_ascii=False, indent=2)
    switches = body.get("chat_template_kwargs")
    if isinstance(switches, dict):
        found["thinking"] = switches.get("enable_thinking", switches.get("thinking"))
    return ChatSettings.of(found, system)


@dataclass
class Answer:
    """One version of what one model said to one question. Times are of the monotonic clock."""

    model: str
    text: str = ""
    reasoning: str = ""
    running: bool = True
    problem: Problem | None = None
    finish: str = ""
    """As the API says it, or "stopped" (by the user), "broken" (by an error)."""
    tokens: int = 0
    reasoning_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    started_s: float = field(default_factory=time.monotonic)
    first_s: float | None = None
    thought_end_s: float | None = None
    ended_s: float | None = None
    retry_at_s: float | None = None
    """The server was full; it is asked again then."""
    continued_from: int = 0
    """Tokens that were there before it was continued: the speed is that of the others."""
    thought_before_s: float | None = None
    """How long it thought before it was continued."""
    saved: SavedAnswer | None = None
    """Where it came from a file: its figures."""

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of the writing, without the wait before the first token."""
        if self.saved is not None:
            return self.saved.tokens_per_second
        written = self.tokens - self.continued_from
        if self.first_s is None or written < 2:
            return None
        seconds = (self.ended_s or time.monotonic()) - self.first_s
        return (written - 1) / seconds if seconds > 0 else None

    @property
    def ttft_ms(self) -> float | None:
        """Wait before the first token."""
        if self.saved is not None:
            return self.saved.ttft_ms
        return None if self.first_s is None else (self.first_s - self.started_s) * 1000

    @property
    def thinking(self) -> bool:
        """It thinks now: thoughts came, words did not."""
        return self.running and bool(self.reasoning) and not self.text

    @property
    def thought_s(self) -> float | None:
        """How long it thought, so far or in all."""
        if self.saved is not None:
            return self.saved.thought_s
        if self.thought_before_s is not None:
            return self.thought_before_s
        if not self.reasoning or self.first_s is None:
            return None
        end = self.thought_end_s or self.ended_s or time.monotonic()
        return end - self.first_s

    def document(self) -> SavedAnswer:
        """For a file."""
        return SavedAnswer(
            model=self.model,
            text=self.text,
            reasoning=self.reasoning,
            finish="broken" if self.problem is not None else self.finish,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.tokens,
            reasoning_tokens=self.reasoning_tokens,
            ttft_ms=self.ttft_ms,
            tokens_per_second=self.tokens_per_second,
            thought_s=self.thought_s,
        )

    @classmethod
    def of(cls, saved: SavedAnswer) -> Answer:
        """From a file."""
        return cls(
            saved.model, saved.text, saved.reasoning, running=False, finish=saved.finish,
            tokens=saved.completion_tokens, reasoning_tokens=saved.reasoning_tokens,
            prompt_tokens=saved.prompt_tokens, cached_tokens=saved.cached_tokens, saved=saved,
        )  # fmt: skip


@dataclass
class Column:
    """All versions of one model's answer; models side by side have a column each."""

    versions: list[Answer] = field(default_factory=list)
    shown: int = 0

    @property
    def answer(self) -> Answer:
        """The version that is shown, which is also what later questions build on."""
        return self.versions[self.shown]

    def add(self, answer: Answer) -> None:
        """One more version, shown at once; one that failed without a word makes room for it."""
        self.versions = [v for v in self.versions if v.text or v.reasoning or v.problem is None]
        self.versions.append(answer)
        self.shown = len(self.versions) - 1

    def turn_page(self, step: int) -> None:
        """Show the version before or after."""
        self.shown = min(max(self.shown + step, 0), len(self.versions) - 1)


@dataclass
class Turn:
    """A question with the answers of everybody who was asked."""

    question: str
    columns: list[Column] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """One a column: the versions that are shown."""
        return [c.answer for c in self.columns]

    @property
    def running(self) -> bool:
        """Somebody is still answering."""
        return any(a.running for c in self.columns for a in c.versions)

    def document(self) -> SavedTurn:
        """For a file."""
        columns = tuple(
            SavedColumn(versions=tuple(a.document() for a in c.versions), shown=c.shown)
            for c in self.columns
        )
        return SavedTurn(question=self.question, columns=columns)

    @classmethod
    def of(cls, saved: SavedTurn) -> Turn:
        """From a file."""
        columns = []
        for column in saved.columns:
            if column.answer is not None:
                shown = column.versions.index(column.answer)
                columns.append(Column([Answer.of(v) for v in column.versions], shown))
        return cls(saved.question, columns)


def messages_for(turns: Sequence[Turn], number: int, system: str) -> list[dict[str, str]]:
    """The conversation as the model in column `number` lived it; the last turn is the question.

    Turns without an answer are left out: templates want questions and answers by turns. Thoughts
    are left out as the makers of reasoning models ask for.
    """
    messages = [{"role": "system", "content": system.strip()}] if system.strip() else []
    for turn in turns[:-1]:
        if not turn.columns:
            continue
        said = turn.columns[min(number, len(turn.columns) - 1)].answer.text
        if said.strip():
            messages.append({"role": "user", "content": turn.question})
            messages.append({"role": "assistant", "content": said})
    return [*messages, {"role": "user", "content": turns[-1].question}]


def turns_of_messages(messages: Sequence[dict[str, str]], model: str) -> tuple[str, list[Turn]]:
    """The system prompt and the turns of a request's messages; roles a chat lacks are skipped."""
    system: list[str] = []
    turns: list[Turn] = []
    for message in messages:
        role, content = message.get("role", "user"), message.get("content", "")
        if role in ("system", "developer"):
            system.append(content)
        elif role == "user":
            turns.append(Turn(content))
        elif role == "assistant" and turns and not turns[-1].columns:
            reasoning = message.get("reasoning", "") or message.get("reasoning_content", "")
            saved = SavedAnswer(model=model, text=content, reasoning=reasoning)
            turns[-1].columns = [Column([Answer.of(saved)])]
    return "\n\n".join(system), turns

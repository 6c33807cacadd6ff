"""The JSON of answers: OpenAI's chat and completions, and the guide's plain `/generate`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from workers.serve.engines.base import TokenLogprob
from workers.serve.http.generation import Choice, Generation
from workers.serve.text.answer import Delta
from workers.serve.text.prompts import Prompter

Json = dict[str, Any]


class Format(Protocol):
    """How one route speaks."""

    def opening(self, choice: Choice) -> Json | None:
        """The chunk before a choice's first piece."""

    def chunk(self, choice: Choice, delta: Delta) -> Json:
        """A piece of a stream."""

    def usage_chunk(self, generation: Generation) -> Json | None:
        """The last chunk, when usage was asked for."""

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """The answer in one piece; one merged delta a choice."""


class _OpenAi:
    """What both of OpenAI's routes share."""

    object_name = ""
    chunk_name = ""
    id_prefix = ""

    def __init__(self, request_id: str, model: str, prompter: Prompter, prompt_tokens: int) -> None:
        self._prompter = prompter
        self._prompt_tokens = prompt_tokens
        self._head = {
            "id": self.id_prefix + request_id.removeprefix("req-"),
            "created": int(time.time()),
            "model": model,
        }

    def usage_chunk(self, generation: Generation) -> Json | None:
        """Empty choices and the counts."""
        return self._document(self.chunk_name, []) | {"usage": self.usage(generation)}

    def usage(self, generation: Generation) -> Json:
        """Counts of tokens; the end token counts as generated."""
        completion = generation.completion_tokens
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self._prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
        }

    def _document(self, name: str, choices: list[Json]) -> Json:
        return {**self._head, "object": name, "choices": choices}

    def _token(self, token: int, logprob: float) -> Json:
        text, raw = self._prompter.token_text(token)
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": raw}


class ChatFormat(_OpenAi):
    """/v1/chat/completions."""

    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def opening(self, choice: Choice) -> Json | None:
        """The role comes first, alone."""
        return self._chunk(choice.index, {"role": "assistant", "content": ""}, Delta())

    def chunk(self, choice: Choice, delta: Delta) -> Json:
        """Content and thought under both of its names."""
        return self._chunk(choice.index, _spoken(delta), delta)

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """One message a choice."""
        choices = []
        for choice, delta in zip(generation.choices, deltas, strict=True):
            message: Json = {"role": "assistant", "content": delta.content, "refusal": None}
            if delta.reasoning:
                message |= {"reasoning_content": delta.reasoning, "reasoning": delta.reasoning}
            choices.append(
                {
                    "index": choice.index,
                    "message": message,
                    "logprobs": self._logprobs(delta),
                    "finish_reason": choice.answer.finish,
                }
            )
        return self._document(self.object_name, choices) | {"usage": self.usage(generation)}

    def _chunk(self, index: int, delta: Json, source: Delta) -> Json:
        choice: Json = {"index": index, "delta": delta, "finish_reason": source.finish}
        if (logprobs := self._logprobs(source)) is not None:
            choice["logprobs"] = logprobs
        return self._document(self.chunk_name, [choice])

    def _logprobs(self, delta: Delta) -> Json | None:
        if not delta.logprobs:
            return None
        return {"content": [self._entry(t, p) for t, p in delta.logprobs], "refusal": None}

    def _entry(self, token: int, logprob: TokenLogprob) -> Json:
        top = [self._token(t, value) for t, value in logprob.top]
        return self._token(token, logprob.chosen) | {"top_logprobs": top}


class CompletionFormat(_OpenAi):
    """/v1/completions."""

    object_name = chunk_name = "text_completion"
    id_prefix = "cmpl-"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._offsets: dict[int, int] = {}

    def opening(self, choice: Choice) -> Json | None:
        """Nothing comes before the text."""
        return None

    def chunk(self, choice: Choice, delta: Delta) -> Json:
        """New text."""
        return self._document(self.chunk_name, [self._choice(choice, delta, delta.finish)])

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """All text."""
        choices = [
            self._choice(c, d, c.answer.finish)
            for c, d in zip(generation.choices, deltas, strict=True)
        ]
        return self._document(self.object_name, choices) | {"usage": self.usage(generation)}

    def _choice(self, choice: Choice, delta: Delta, finish: str | None) -> Json:
        logprobs = self._logprobs(choice.index, delta)
        text = delta.content
        return {"index": choice.index, "text": text, "logprobs": logprobs, "finish_reason": finish}

    def _logprobs(self, index: int, delta: Delta) -> Json | None:
        if not delta.logprobs:
            return None
        text_of = [self._prompter.token_text(t)[0] for t, _ in delta.logprobs]
        offset = self._offsets.get(index, 0)
        offsets = []
        for text in text_of:
            offsets.append(offset)
            offset += len(text)
        self._offsets[index] = offset
        tops = [
            {self._prompter.token_text(t)[0]: max(v, -9999.0) for t, v in p.top}
            for _, p in delta.logprobs
        ]
        return {
            "tokens": text_of,
            "token_logprobs": [p.chosen for _, p in delta.logprobs],
            "top_logprobs": tops,
            "text_offset": offsets,
        }


class GenerateFormat(_OpenAi):
    """/generate: prompt in, text out."""

    id_prefix = "gen-"

    def opening(self, choice: Choice) -> Json | None:
        """Nothing comes before the text."""
        return None

    def chunk(self, choice: Choice, delta: Delta) -> Json:
        """New text."""
        return {"index": choice.index, "text": delta.content, "finish_reason": delta.finish}

    def usage_chunk(self, generation: Generation) -> Json | None:
        """The counts."""
        return {"text": "", "usage": self.usage(generation)}

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """`text` is the first answer; `texts` holds all when several were asked for."""
        document: Json = {
            **self._head,
            "text": deltas[0].content,
            "finish_reason": generation.finish_reason,
            "usage": self.usage(generation),
        }
        if len(deltas) > 1:
            document["texts"] = [d.content for d in deltas]
        return document


def merged(generation: Generation) -> dict[int, Delta]:
    """An empty delta a choice, to add pieces to."""
    return {c.index: Delta() for c in generation.choices}


def add(total: Delta, delta: Delta) -> None:
    """Append one piece to what came before."""
    total.content += delta.content
    total.reasoning += delta.reasoning
    total.logprobs += delta.logprobs
    total.finish = delta.finish or total.finish


def _spoken(delta: Delta) -> Json:
    found: Json = {}
    if delta.content:
        found["content"] = delta.content
    if delta.reasoning:
        found |= {"reasoning_content": delta.reasoning, "reasoning": delta.reasoning}
    return found

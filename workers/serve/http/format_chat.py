"""Answers of /v1/chat/completions."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any

from workers.serve.engines.base import TokenLogprob
from workers.serve.http.formats import Json, OpenAiFormat, finite, usage
from workers.serve.http.generation import Choice, Generation
from workers.serve.http.streaming import encoded, event
from workers.serve.text.answer import Delta
from workers.serve.text.tool_calls import ToolCall


class ChatFormat(OpenAiFormat):
    """Role, content, thought under both of its names, calls of functions."""

    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"
    id_prefix = "chatcmpl-"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        head = encoded(self._head | {"object": self.chunk_name}).decode()
        self._before = f'data: {head[:-1]},"choices":[{{"index":'
        self._calls: dict[int, int] = {}

    def opening(self, choice: Choice) -> bytes:
        """The role comes first, alone."""
        return self._chunk(choice.index, {"role": "assistant", "content": ""}, Delta())

    def chunk(self, choice: Choice, delta: Delta) -> bytes:
        """What is new, then the end in a chunk of its own."""
        said = b""
        if delta.reasoning or delta.logprobs or delta.calls:
            said = self._chunk(choice.index, self._spoken(choice.index, delta), delta)
        elif delta.content:  # nearly every chunk of nearly every stream
            said = (
                f'{self._before}{choice.index},"delta":{{"content":'
                f"{encode_basestring(delta.content)}}},"
                '"logprobs":null,"finish_reason":null}]}\n\n'
            ).encode("utf-8", "replace")
        if delta.finish is not None:
            said += self._chunk(choice.index, {}, Delta(), delta.finish)
        return said

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """One message a choice."""
        choices = [
            {
                "index": choice.index,
                "message": _message(delta),
                "logprobs": self._logprobs(delta),
                "finish_reason": choice.answer.finish,
            }
            for choice, delta in zip(generation.choices, deltas, strict=True)
        ]
        return self._document(self.object_name, choices) | {"usage": usage(generation)}

    def _chunk(self, index: int, said: Json, delta: Delta, finish: str | None = None) -> bytes:
        choice = {
            "index": index,
            "delta": said,
            "logprobs": self._logprobs(delta),
            "finish_reason": finish,
        }
        return event(self._document(self.chunk_name, [choice]))

    def _spoken(self, index: int, delta: Delta) -> Json:
        found: Json = {}
        if delta.content:
            found["content"] = delta.content
        if delta.reasoning:
            found |= {"reasoning_content": delta.reasoning, "reasoning": delta.reasoning}
        if delta.calls:
            first = self._calls.get(index, 0)
            self._calls[index] = first + len(delta.calls)
            numbered = enumerate(delta.calls, first)
            found["tool_calls"] = [{"index": i} | _call(c) for i, c in numbered]
        return found

    def _logprobs(self, delta: Delta) -> Json | None:
        if not delta.logprobs:
            return None
        return {"content": [self._entry(t, p) for t, p in delta.logprobs], "refusal": None}

    def _entry(self, token: int, logprob: TokenLogprob) -> Json:
        top = [self._token(t, value) for t, value in logprob.top]
        return self._token(token, logprob.chosen) | {"top_logprobs": top}

    def _token(self, token: int, logprob: float) -> Json:
        text, raw = self._prompter.token_text(token)
        return {"token": text, "logprob": finite(logprob), "bytes": raw}


def _message(delta: Delta) -> Json:
    message: Json = {"role": "assistant", "content": delta.content, "refusal": None}
    if delta.reasoning:
        message |= {"reasoning_content": delta.reasoning, "reasoning": delta.reasoning}
    if delta.calls:
        message |= {
            "content": delta.content or None,
            "tool_calls": [_call(c) for c in delta.calls],
        }
    return message


def _call(call: ToolCall) -> Json:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }

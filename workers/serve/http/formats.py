"""What all formats of answers share: heads, counts, tokens with their probabilities."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from workers.serve.engines.base import TokenLogprob
from workers.serve.http import labels
from workers.serve.http.generation import Choice, Generation
from workers.serve.http.state import Call
from workers.serve.http.streaming import event
from workers.serve.text.answer import Delta
from workers.serve.text.prompts import Prompter

Json = dict[str, Any]
_LEAST = -9999.0
"""JSON has no minus infinity."""


class Format(Protocol):
    """How one route speaks: events of a stream as bytes, or a document."""

    def opening(self, choice: Choice) -> bytes:
        """What comes before a choice's first piece; may be empty."""

    def chunk(self, choice: Choice, delta: Delta) -> bytes:
        """A piece of a stream."""

    def usage_chunk(self, generation: Generation) -> bytes:
        """The last chunk, when usage was asked for."""

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """The answer in one piece; one merged delta a choice."""


class Totals:
    """All pieces of all choices, added up."""

    def __init__(self, generation: Generation) -> None:
        self.deltas = [Delta() for _ in generation.choices]

    def add(self, choice: Choice, delta: Delta) -> None:
        """Append one piece to what came before."""
        total = self.deltas[choice.index]
        total.content += delta.content
        total.reasoning += delta.reasoning
        total.calls += delta.calls
        total.logprobs += delta.logprobs
        total.finish = delta.finish or total.finish


class OpenAiFormat:
    """What OpenAI's routes share.

    Args:
        call: whose id the answer has.
        model: public name that answers.
        prompter: for the texts of single tokens.
        labeled: say in every document that it was made by AI.
    """

    object_name = ""
    chunk_name = ""
    id_prefix = ""

    def __init__(self, call: Call, model: str, prompter: Prompter, *, labeled: bool) -> None:
        self._prompter = prompter
        self._head: Json = {
            "id": self.id_prefix + call.request_id.removeprefix("req-"),
            "created": int(time.time()),
            "model": model,
        }
        if labeled:
            self._head |= labels.metadata(model, call.request_id)

    def opening(self, choice: Choice) -> bytes:
        """Nothing comes before the text."""
        return b""

    def usage_chunk(self, generation: Generation) -> bytes:
        """Empty choices and the counts."""
        return event(self._document(self.chunk_name, []) | {"usage": usage(generation)})

    def _document(self, name: str, choices: list[Json]) -> Json:
        return {**self._head, "object": name, "choices": choices}


def usage(generation: Generation) -> Json:
    """Counts of tokens; the end token counts as generated."""
    prompt, completion = generation.prompt_tokens, generation.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
    }


def finite(logprob: float) -> float:
    """A logarithm that JSON can say."""
    return max(logprob, _LEAST)


def with_chosen(token: int, logprob: TokenLogprob) -> list[tuple[int, float]]:
    """The alternatives, best first, and the chosen one if it is not among them."""
    found = list(logprob.top)
    if all(t != token for t, _ in found):
        found.append((token, logprob.chosen))
    return found

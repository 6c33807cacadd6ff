"""Answers of /v1/completions and of /generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workers.serve.engines.base import TokenLogprob
from workers.serve.http.formats import Json, OpenAiFormat, finite, usage, with_chosen
from workers.serve.http.generation import Choice, Generation
from workers.serve.http.streaming import event
from workers.serve.text.answer import Delta

Scored = list[tuple[int, TokenLogprob | None]]


@dataclass(frozen=True)
class Shown:
    """What a completion says beside its text."""

    echo: bool = False
    logprobs: bool = False
    answers: int = 1
    """Of the rows of each prompt, so many are shown: the most probable ones."""


class CompletionFormat(OpenAiFormat):
    """Text, and the tokens of it with their offsets."""

    object_name = chunk_name = "text_completion"
    id_prefix = "cmpl-"

    def __init__(self, *args: Any, shown: Shown, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shown = shown
        self._offsets: dict[int, int] = {}

    def chunk(self, choice: Choice, delta: Delta) -> bytes:
        """New text; the first piece has the prompt before it when that was asked for."""
        document = self._choice(choice, delta, choice.index, delta.finish)
        return event(self._document(self.chunk_name, [document]))

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """All text."""
        found: list[Json] = []
        for choice in self._best(generation, deltas):
            delta = deltas[choice.index]
            found.append(self._choice(choice, delta, len(found), choice.answer.finish))
        return self._document(self.object_name, found) | {"usage": usage(generation)}

    def _best(self, generation: Generation, deltas: Sequence[Delta]) -> list[Choice]:
        """The most probable rows of each prompt, by the mean of their tokens."""
        found = []
        for prompt in generation.prompts:
            rows = [c for c in generation.choices if c.row.prompt is prompt]
            if len(rows) > self._shown.answers:
                rows.sort(key=lambda c: -_mean(deltas[c.index]))
            found += rows[: self._shown.answers]
        return found

    def _choice(self, choice: Choice, delta: Delta, index: int, finish: str | None) -> Json:
        text, scored = delta.content, list[tuple[int, TokenLogprob | None]](delta.logprobs)
        if self._shown.echo and choice.index not in self._offsets:
            self._offsets[choice.index] = 0
            text = self._prompt_text(choice) + text
            scored = _prompt_scores(choice) + scored
        logprobs = self._logprobs(choice.index, scored) if self._shown.logprobs else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}

    def _prompt_text(self, choice: Choice) -> str:
        prompt = choice.row.prompt
        return prompt.text if prompt.text is not None else self._prompter.decode(prompt.tokens)

    def _logprobs(self, index: int, scored: Scored) -> Json | None:
        if not scored:
            return None
        texts = [self._text(t) for t, _ in scored]
        offsets, offset = [], self._offsets.get(index, 0)
        for text in texts:
            offsets.append(offset)
            offset += len(text)
        self._offsets[index] = offset
        return {
            "tokens": texts,
            "token_logprobs": [None if p is None else finite(p.chosen) for _, p in scored],
            "top_logprobs": [None if p is None else self._top(t, p) for t, p in scored],
            "text_offset": offsets,
        }

    def _top(self, token: int, logprob: TokenLogprob) -> dict[str, float]:
        found: dict[str, float] = {}
        for other, value in with_chosen(token, logprob):  # best first: the better of equal texts
            found.setdefault(self._text(other), finite(value))
        return found

    def _text(self, token: int) -> str:
        return self._prompter.token_text(token)[0]


class GenerateFormat(OpenAiFormat):
    """`text` is the first answer; `texts` holds all when several were asked for."""

    id_prefix = "gen-"

    def __init__(self, *args: Any, before: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self._before = before
        self._begun: set[int] = set()

    def chunk(self, choice: Choice, delta: Delta) -> bytes:
        """New text."""
        text = delta.content if choice.index in self._begun else self._before + delta.content
        self._begun.add(choice.index)
        return event({"index": choice.index, "text": text, "finish_reason": delta.finish})

    def usage_chunk(self, generation: Generation) -> bytes:
        """The counts."""
        return event({"text": "", **self._head, "usage": usage(generation)})

    def whole(self, generation: Generation, deltas: Sequence[Delta]) -> Json:
        """All text."""
        texts = [self._before + d.content for d in deltas]
        document: Json = {
            **self._head,
            "text": texts[0],
            "finish_reason": generation.finish_reason,
            "usage": usage(generation),
        }
        return document | ({"texts": texts} if len(texts) > 1 else {})


def _mean(delta: Delta) -> float:
    chosen = [p.chosen for _, p in delta.logprobs]
    return sum(chosen) / len(chosen) if chosen else 0.0


def _prompt_scores(choice: Choice) -> Scored:
    found = choice.answer.prompt_logprobs
    if found is None:
        return []
    return list(zip(choice.row.prompt.tokens, found, strict=True))

"""One choice of an answer: token events in, pieces of text out, with its counts and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workers.serve.engines.base import FinishReason, TokenEvent, TokenLogprob
from workers.serve.text.detokenizer import Detokenizer
from workers.serve.text.reasoning import Piece, ReasoningSplitter
from workers.serve.text.stop_strings import StopStrings


@dataclass
class Delta:
    """What a batch of token events added."""

    content: str = ""
    reasoning: str = ""
    logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list)
    finish: FinishReason | None = None

    @property
    def empty(self) -> bool:
        """Nothing that a client could see."""
        return not (self.content or self.reasoning or self.logprobs or self.finish)


class Answer:
    """Detokenizer, stop strings and reasoning in a row.

    Args:
        decode: tokens to text.
        stops: stop strings; none is ever shown.
        splitter: None leaves `<think>` tags in the text.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        stops: Sequence[str] = (),
        splitter: ReasoningSplitter | None = None,
    ) -> None:
        self._detokenizer = Detokenizer(decode)
        self._stops = StopStrings(stops)
        self._splitter = splitter
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self.finish: FinishReason | None = None

    def add(self, events: Sequence[TokenEvent]) -> Delta:
        """Take new events in. After the end (`finish`) nothing more is taken."""
        delta = Delta()
        for event in events:
            if self.finish is not None:
                break
            self._add_one(event, delta)
        return delta

    def _add_one(self, event: TokenEvent, delta: Delta) -> None:
        self.completion_tokens += 1
        self.reasoning_tokens += bool(self._splitter and self._splitter.thinking)
        if event.logprob is not None and not event.is_stop_token:
            delta.logprobs.append((event.token, event.logprob))
        text = "" if event.is_stop_token else self._detokenizer.add(event.token)
        shown = self._stops.add(text)
        if self._stops.hit:
            self._end("stop", shown, delta)
        elif event.finish is not None:
            shown += self._stops.add(self._detokenizer.finish())
            self._end("stop" if self._stops.hit else event.finish, shown, delta)
        else:
            _append(delta, self._split(shown))

    def _end(self, reason: FinishReason, shown: str, delta: Delta) -> None:
        self.finish = delta.finish = reason
        _append(delta, self._split(shown + self._stops.finish()))
        if self._splitter is not None:
            _append(delta, self._splitter.finish())

    def _split(self, text: str) -> Piece:
        return self._splitter.add(text) if self._splitter is not None else Piece(content=text)


def _append(delta: Delta, piece: Piece) -> None:
    delta.content += piece.content
    delta.reasoning += piece.reasoning

"""One choice of an answer: token events in, pieces of text out, with its counts and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from workers.serve.engines.base import NO_TOKEN, TokenEvent, TokenLogprob
from workers.serve.text.codec import TextStream
from workers.serve.text.reasoning import Piece, ReasoningSplitter
from workers.serve.text.stop_strings import StopStrings
from workers.serve.text.tool_calls import Found, OneCall, ToolCall, ToolParser

Ending = Literal["stop", "length", "tool_calls"]


@dataclass(slots=True)
class Delta:
    """What a batch of token events added."""

    content: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[tuple[int, TokenLogprob]] = field(default_factory=list)
    finish: Ending | None = None

    @property
    def empty(self) -> bool:
        """Nothing that a client could see."""
        return not (self.content or self.reasoning or self.logprobs or self.finish or self.calls)


class Answer:
    """Detokenizer, stop strings, reasoning and tool calls in a row.

    Args:
        stream: tokens to text.
        stops: stop strings; none is ever shown.
        splitter: None leaves `<think>` tags in the text.
        tools: None leaves calls in the text.
    """

    def __init__(
        self,
        stream: TextStream,
        stops: Sequence[str] = (),
        splitter: ReasoningSplitter | None = None,
        tools: ToolParser | None = None,
    ) -> None:
        self._stream = stream
        self._stops = StopStrings(stops) if stops else None
        self._splitter = splitter
        self._tools = tools
        self._called = False
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self.cached_tokens = 0
        self.queue_ms: float | None = None
        self.prompt_logprobs: Sequence[TokenLogprob | None] | None = None
        self.embedding: Sequence[float] | None = None
        self.finish: Ending | None = None

    @property
    def may_end_itself(self) -> bool:
        """Whether its text can be its end, which the engine does not know."""
        return self._stops is not None or isinstance(self._tools, OneCall)

    def add(self, events: Sequence[TokenEvent]) -> Delta:
        """Take new events in. After the end (`finish`) nothing more is taken."""
        if not self.completion_tokens:
            self._note(events[0])
        delta = Delta()
        for event in events:
            if self.finish is not None:
                break
            self._add_one(event, delta)
        return delta

    def _note(self, first: TokenEvent) -> None:
        self.cached_tokens = first.cached_tokens
        self.queue_ms = first.queue_ms
        self.prompt_logprobs = first.prompt_logprobs
        self.embedding = first.embedding

    def _add_one(self, event: TokenEvent, delta: Delta) -> None:
        text = ""
        if event.token != NO_TOKEN:
            self.completion_tokens += 1
            self.reasoning_tokens += self._splitter is not None and self._splitter.thinking
            if event.logprob is not None and not event.is_stop_token:
                delta.logprobs.append((event.token, event.logprob))
            if event.text is None and not event.is_stop_token:
                text = self._stream.add(event.token)
        if event.text is not None:  # an engine that makes the text itself
            text = event.text
        if self._stops is not None:
            text = self._stops.add(text)
            if self._stops.hit:
                self._end("stop", text, delta)
                return
        if event.finish is not None:
            self._end_by_engine(event.finish, text, delta)
        elif text:
            self._show(self._split(text), delta)
        if isinstance(self._tools, OneCall) and self._tools.done and self.finish is None:
            self.finish = delta.finish = "tool_calls"

    def _end_by_engine(self, reason: Ending, text: str, delta: Delta) -> None:
        rest = self._stream.finish()
        if self._stops is not None:
            rest = self._stops.add(rest)
            reason = "stop" if self._stops.hit else reason
            rest += self._stops.finish()
        self._end(reason, text + rest, delta)

    def _end(self, reason: Ending, shown: str, delta: Delta) -> None:
        self._show(self._split(shown), delta)
        if self._splitter is not None:
            self._show(self._splitter.finish(), delta)
        if self._tools is not None:
            self._take(self._tools.finish(complete=reason == "stop"), delta)
        self.finish = delta.finish = "tool_calls" if self._called and reason == "stop" else reason

    def _split(self, text: str) -> Piece:
        return self._splitter.add(text) if self._splitter is not None else Piece(content=text)

    def _show(self, piece: Piece, delta: Delta) -> None:
        delta.reasoning += piece.reasoning
        if self._tools is None:
            delta.content += piece.content
        elif piece.content:
            self._take(self._tools.add(piece.content), delta)

    def _take(self, found: Found, delta: Delta) -> None:
        delta.content += found.content
        delta.calls += found.calls
        self._called = self._called or bool(found.calls)

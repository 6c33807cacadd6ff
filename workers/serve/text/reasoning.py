"""Splits what a reasoning model thinks from what it answers (DeepSeek-R1's `<think>` tags)."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(slots=True)
class Piece:
    """New text of both kinds; either may be empty."""

    content: str = ""
    reasoning: str = ""


def starts_in_thought(prompt_text: str) -> bool:
    """Whether the prompt itself opened the tag, as R1's template does."""
    return prompt_text.rstrip().endswith(OPEN)


class ReasoningSplitter:
    """A tag counts only at the very beginning of an answer; later ones are the model's words."""

    def __init__(self, *, thinking: bool) -> None:
        self._state = "thinking" if thinking else "start"
        self._held = ""
        self._trim = thinking

    @property
    def thinking(self) -> bool:
        """Whether the closing tag is still to come."""
        return self._state == "thinking"

    def add(self, text: str) -> Piece:
        """Sort new text; a part of a tag is held back."""
        self._held += text
        if self._state == "start":
            self._begin()
        if self._state == "start":
            return Piece()
        return self._think() if self._state == "thinking" else self._speak()

    def finish(self) -> Piece:
        """What was held back."""
        rest, self._held = self._held, ""
        return Piece(reasoning=rest) if self.thinking else Piece(content=rest)

    def _begin(self) -> None:
        """Decide whether the answer opens with a thought; stay undecided on a part of the tag."""
        words = self._held.lstrip()
        if words.startswith(OPEN):
            self._state, self._held, self._trim = "thinking", words[len(OPEN) :], True
        elif not OPEN.startswith(words):
            self._state = "speaking"

    def _think(self) -> Piece:
        if self._trim:
            self._held = self._held.lstrip("\n")
            self._trim = not self._held
        before, tag, after = self._held.partition(CLOSE)
        if tag:
            self._state, self._held, self._trim = "speaking", after, True
            return Piece(reasoning=before.rstrip("\n"), content=self._speak().content)
        keep = _partial_end(before, CLOSE)
        shown = before[: len(before) - keep]
        # Line ends just before the tag belong to neither side.
        shown = shown.rstrip("\n")
        self._held = self._held[len(shown) :]
        return Piece(reasoning=shown)

    def _speak(self) -> Piece:
        if self._trim:
            self._held = self._held.lstrip("\n")
            self._trim = not self._held
        shown, self._held = self._held, ""
        return Piece(content=shown)


def _partial_end(text: str, tag: str) -> int:
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0

"""Tokens to text, a piece at a time, never cutting a character."""

from __future__ import annotations

from collections.abc import Callable

_REPLACEMENT = "\ufffd"
_CONTEXT_TOKENS = 5
"""Decoded again with each piece: some tokenizers put a space by what stands before."""
_MAX_HELD_TOKENS = 16
"""A character takes at most four tokens; more that end torn are the model's own garbage."""


class Detokenizer:
    """Incremental detokenization.

    The new text is the difference of two decodes that share some tokens of context; it is held
    back while it ends in the middle of a character (as in text-generation-inference and vLLM).
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context = 0
        self._read = 0

    def add(self, token: int) -> str:
        """The text that is certain with this token; may be empty."""
        self._tokens.append(token)
        return self._take(hold=len(self._tokens) - self._read <= _MAX_HELD_TOKENS)

    def finish(self) -> str:
        """What was held back, without the torn rest of a character."""
        return self._take(hold=False).rstrip(_REPLACEMENT)

    def _take(self, *, hold: bool) -> str:
        before = self._decode(self._tokens[self._context : self._read])
        text = self._decode(self._tokens[self._context :])
        if len(text) <= len(before) or (hold and text.endswith(_REPLACEMENT)):
            return ""
        self._read = len(self._tokens)
        self._context = max(0, self._read - _CONTEXT_TOKENS)
        return text[len(before) :]

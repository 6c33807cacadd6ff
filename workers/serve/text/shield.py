"""Keeps control tokens in what clients wrote away from those that a template puts there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from typing import Any


class Shield:
    """Hides texts behind one-time marks while a template is rendered.

    Args:
        controls: texts that act when they are read as tokens, longest first.
    """

    def __init__(self, controls: Collection[str]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, controls))) if controls else None
        self._mark = ""
        self._hidden: list[str] = []

    def hide(self, text: str, keep: Collection[str] = ()) -> str:
        """Replace each control text by a mark and its number, but for those to keep."""
        if self._pattern is None:
            return text

        def replace(found: re.Match[str]) -> str:
            if found.group() in keep:
                return found.group()
            # Made when it is needed: nearly no message has anything to hide.
            self._mark = self._mark or f"\ue000{secrets.token_hex(8)}:"
            self._hidden.append(found.group())
            return f"{self._mark}{len(self._hidden) - 1}\ue001"

        return self._pattern.sub(replace, text)

    def hide_all(self, value: Any) -> Any:
        """The same in every text of a JSON value, names of fields included."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_all(v) for v in value]
        if isinstance(value, dict):
            return {self.hide(k): self.hide_all(v) for k, v in value.items()}
        return value

    def split(self, text: str) -> list[tuple[str, bool]]:
        """Parts of the rendered text, and whether each is a hidden token's plain text."""
        if not self._hidden:
            return [(text, False)]
        pieces = re.split(re.escape(self._mark) + r"(\d+)\ue001", text)
        parts = [
            (self._hidden[int(p)], True) if i % 2 else (p, False) for i, p in enumerate(pieces)
        ]
        return [p for p in parts if p[0]]

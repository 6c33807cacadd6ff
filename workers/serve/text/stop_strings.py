"""Ends an answer at a stop string, also one that spans tokens, without leaking a piece of it."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Lets text through up to the first stop string; holds back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(s for s in stops if s)
        self._held = ""
        self.hit = False

    def add(self, text: str) -> str:
        """The part of all text so far that may be shown now."""
        if self.hit:
            return ""
        self._held += text
        found = [at for s in self._stops if (at := self._held.find(s)) >= 0]
        if found:
            self.hit = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = self._longest_beginning()
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return shown

    def finish(self) -> str:
        """What was held back: no stop string came of it."""
        shown, self._held = self._held, ""
        return shown

    def _longest_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = min(len(self._held), max((len(s) - 1 for s in self._stops), default=0))
        for length in range(longest, 0, -1):
            if any(s.startswith(self._held[-length:]) for s in self._stops):
                return length
        return 0

"""The one record that all sources of the bundled data produce."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A documented thing: what a person asks about, and the answer in the domain's voice.

    ``source`` names the thing over all languages (``command:ls -a``); a split by it cannot leak.
    """

    source: str
    topic: str
    lang: str
    answer: str
    license: str

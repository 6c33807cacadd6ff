"""Findings and measures of a run as words, whoever found them."""

from __future__ import annotations

from typing import NamedTuple

from app.messages import Language
from core.protocol.events import Finding


class RungText(NamedTuple):
    """A measure against running out of memory in one language."""

    name: str
    help: str


def finding_text(finding: Finding, language: Language) -> str:
    """A finding of a diagnosis, a dry run or an out-of-memory error."""
    return finding.code


def rung_text(code: str, language: Language) -> RungText:
    """What a rung of the memory ladder does."""
    return RungText(code, "")

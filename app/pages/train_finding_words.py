"""Findings and measures of a run as words, whoever found them."""

from __future__ import annotations

from app.messages import Language
from app.texts.diagnosis import DIAGNOSIS, diagnosis_text
from app.texts.memory import is_memory_finding, memory_finding_text
from app.texts.memory import rung_text as rung_text
from app.texts.train_notes import train_note_text
from core.protocol.events import Finding


def finding_text(finding: Finding, language: Language) -> str:
    """A finding of a diagnosis, a dry run or an out-of-memory error."""
    if finding.code in DIAGNOSIS:
        return diagnosis_text(finding, language)
    if is_memory_finding(finding.code):
        return memory_finding_text(finding, language)
    return train_note_text(finding, language)

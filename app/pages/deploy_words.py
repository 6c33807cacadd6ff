"""Words of codes that a server says, as far as the command line has them too."""

from __future__ import annotations

from app import messages
from app.messages import Language
from core.errors import ErrorCode, ErrorInfo

_CODES = frozenset(code.value for code in ErrorCode)


def engine_reason(reason: str, language: Language) -> str:
    """Why an engine stopped, in a sentence; its own words where they are no code."""
    if reason in _CODES:
        return messages.error_text(ErrorInfo(code=reason), language).message
    return reason


def refused_reason(detail: str, language: Language) -> str:
    """Why a command was refused; a code of an error, or the worker's own words."""
    return engine_reason(detail, language)

"""Words of codes that a server says, as far as the command line has them too."""

from __future__ import annotations

from app import messages
from app.messages import Language
from app.texts import serving
from core.errors import ErrorCode, ErrorInfo

_CODES = frozenset(code.value for code in ErrorCode)


def refused_reason(detail: str, language: Language) -> str:
    """Why a command was refused: a code of the server or of an error, or its own words."""
    if detail in _CODES:
        return messages.error_text(ErrorInfo(code=detail), language).message
    return serving.command_refusal_text(detail, language)

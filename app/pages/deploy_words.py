"""Words of codes that a server says, as far as the command line has them too."""

from __future__ import annotations

from app import messages
from app.messages import Language
from app.texts import serving
from core.errors import ErrorCode, ErrorInfo
from core.protocol.events import ServeReady

_CODES = frozenset(code.value for code in ErrorCode)


def refused_reason(detail: str, language: Language) -> str:
    """Why a command was refused: a code of the server or of an error, or its own words."""
    if detail in _CODES:
        return messages.error_text(ErrorInfo(code=detail), language).message
    return serving.command_refusal_text(detail, language)


def choice_reasons(ready: ServeReady, language: Language) -> str:
    """Why this engine and this precision; what the user chose needs no reason."""
    found = []
    if ready.engine_reason not in ("", "as_chosen"):
        found.append(serving.engine_reason_text(ready.engine_reason, ready.engine_params, language))
    if ready.precision_reason not in ("", "as_chosen"):
        words = serving.precision_reason_text
        found.append(words(ready.precision_reason, ready.precision_params, language))
    return messages.sentences_text(found, language)

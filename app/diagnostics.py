"""Diagnostics to hand on: what happened, without secrets, names or places of the user."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

from core.errors import ErrorInfo

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]+"), r"\1 <redacted>"),
    (
        re.compile(
            r"(?i)([\w-]*(?:api[_-]?key|token|secret|password|passwd|cookie|authorization)[\w-]*"
            r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+"
        ),
        r"\1<redacted>",
    ),
    (re.compile(r"\b(?:sk|dd|hf|ghp|glpat)[-_][A-Za-z0-9_-]{8,}"), "<redacted>"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@"), r"\1<redacted>@"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"), "<e-mail>"),
)


def redact(text: str) -> str:
    """Take out keys, tokens, passwords in addresses, e-mail addresses and the home folder."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def error_diagnostics(error: ErrorInfo, message: str = "", log_tail: str = "") -> str:
    """All that is known of an error as text, redacted."""
    facts = json.dumps(error.params, ensure_ascii=False)
    lines = [
        "DeepDeck diagnostics",
        f"code: {error.code}",
        f"message: {message}" if message else "",
        f"facts: {facts}" if error.params else "",
        f"cause: {error.detail}" if error.detail else "",
        f"system: {platform.platform()}, Python {platform.python_version()}",
        f"log:\n{log_tail}" if log_tail else "",
    ]
    return redact("\n".join(line for line in lines if line))

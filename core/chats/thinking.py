"""Whether a model's chat template has a switch for thinking."""

from __future__ import annotations

import json
import re
from pathlib import Path

_MOST_BYTES = 4 * 1024 * 1024
_SWITCH = re.compile(r"\b(enable_thinking|thinking)\b(?=\s*(?:is\b|[)%}=!]|and\b|or\b|\|))")


def thinking_switch(model: Path) -> str | None:
    """The name that the template reads (`enable_thinking` of Qwen3, `thinking` of DeepSeek V3.1).

    None for a template without one, for a GGUF file, and for a folder that cannot be read.
    """
    template = _template(model)
    found = _SWITCH.findall(template)
    return "enable_thinking" if "enable_thinking" in found else next(iter(found), None)


def _template(model: Path) -> str:
    beside = _read(model / "chat_template.jinja")
    if beside:
        return beside
    try:
        found = json.loads(_read(model / "tokenizer_config.json") or "{}").get("chat_template")
    except (ValueError, AttributeError):
        return ""
    return json.dumps(found, ensure_ascii=False) if found else ""


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

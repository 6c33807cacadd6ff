"""Calls of functions as models write them, as grammars in llguidance's Lark.

A tag such as `<tool_call>` is one special token of most vocabularies and plain text of others; a
grammar must name the token where there is one, so callers say which it is.

Notations: Qwen's and Hermes' (https://qwen.readthedocs.io/en/latest/framework/function_call.html),
Llama 3.1's JSON calls
(https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/#json-based-tool-calling),
DeepSeek's of V3 and R1 and the shorter one of V3.1
(https://huggingface.co/deepseek-ai/DeepSeek-V3.1#toolcall).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

Style = Literal["qwen", "llama", "deepseek", "deepseek_v31", "json"]
TokenOf = Callable[[str], int | None]

_CALLS_BEGIN, _CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL_BEGIN, _CALL_END, _SEP = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"


def calls(
    style: str, functions: list[dict[str, Any]], token_of: TokenOf
) -> tuple[str, dict[str, dict[str, Any]]]:
    """One or more calls.

    Args:
        style: one of `Style`.
        functions: `name` and `parameters` (a JSON schema, or None for any object) of each.
        token_of: the special token that a tag is, or None.

    Returns:
        A Lark grammar and the JSON schemas that it refers to by name.
    """
    make = {
        "qwen": _qwen,
        "llama": _llama,
        "json": _json,
        "deepseek": _deepseek,
        "deepseek_v31": _deepseek_v31,
    }[style]
    return make(functions, lambda tag: _tag(tag, token_of(tag)))


def thought(closing: str, token: int | None) -> str:
    """Free text up to a closing tag, then the grammar named `answer`."""
    if token is not None:
        return f"start: TEXT <[{token}]> BREAK @answer\nTEXT: /(?s:.*)/\n{_BREAK}"
    return (
        f"start: thinking BREAK @answer\nthinking[suffix={json.dumps(closing)}]: TEXT\n"
        f"TEXT: /(?s:.*)/\n{_BREAK}"
    )


_BREAK = "BREAK: /\\n{0,2}/\n"
_Tag = Callable[[str], str]
_Made = tuple[str, dict[str, dict[str, Any]]]


def _tag(tag: str, token: int | None) -> str:
    return json.dumps(tag, ensure_ascii=False) if token is None else f"<[{token}]>"


def _arguments(function: dict[str, Any]) -> dict[str, Any]:
    return function.get("parameters") or {"type": "object"}


def _named(functions: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """A schema a function: its name and its arguments under `key`."""
    return {
        f"call{i}": {
            "type": "object",
            "properties": {"name": {"const": f["name"]}, key: _arguments(f)},
            "required": ["name", key],
            "additionalProperties": False,
        }
        for i, f in enumerate(functions)
    }


def _any_of(names: dict[str, dict[str, Any]]) -> str:
    return " | ".join(f"@{name}" for name in names)


def _qwen(functions: list[dict[str, Any]], tag: _Tag) -> _Made:
    schemas = _named(functions, "arguments")
    opening, closing = tag("<tool_call>"), tag("</tool_call>")
    lark = (
        f'start: call ("\\n" call)*\ncall: {opening} "\\n" ({_any_of(schemas)}) "\\n" {closing}\n'
    )
    return lark, schemas


def _llama(functions: list[dict[str, Any]], tag: _Tag) -> _Made:
    schemas = _named(functions, "parameters")
    return f"start: {_any_of(schemas)}\n", schemas


def _json(functions: list[dict[str, Any]], tag: _Tag) -> _Made:
    schemas = _named(functions, "arguments")
    return f"start: {_any_of(schemas)}\n", schemas


def _deepseek(functions: list[dict[str, Any]], tag: _Tag) -> _Made:
    def head(name: str) -> str:
        return f'"function" {tag(_SEP)} {json.dumps(name)} "\\n```json\\n"'

    return _deepseek_calls(functions, tag, head, '"\\n```"', '"\\n"')


def _deepseek_v31(functions: list[dict[str, Any]], tag: _Tag) -> _Made:
    def head(name: str) -> str:
        return f"{json.dumps(name)} {tag(_SEP)}"

    return _deepseek_calls(functions, tag, head, "", "")


def _deepseek_calls(
    functions: list[dict[str, Any]], tag: _Tag, head: Callable[[str], str], tail: str, between: str
) -> _Made:
    schemas = {f"arguments{i}": _arguments(f) for i, f in enumerate(functions)}
    bodies = " | ".join(
        f"({head(f['name'])} @{name} {tail})" for name, f in zip(schemas, functions, strict=True)
    )
    lark = (
        f"start: {tag(_CALLS_BEGIN)} call ({between} call)* {tag(_CALLS_END)}\n"
        f"call: {tag(_CALL_BEGIN)} ({bodies}) {tag(_CALL_END)}\n"
    )
    return lark, schemas

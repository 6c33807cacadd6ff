"""How models write tool calls: DeepSeek, Qwen and Hermes, Llama 3.

Which one a model writes is told by its chat template, else by the tokens it has. Formats:
DeepSeek-V3 and R1 (huggingface.co/deepseek-ai/DeepSeek-V3, its chat template), DeepSeek-V3.1
(huggingface.co/deepseek-ai/DeepSeek-V3.1, "ToolCall" in its card), Qwen2.5 and Qwen3 after
NousResearch/Hermes-Function-Calling, Llama 3.1's JSON (llama.com, prompt formats).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from workers.serve.native.sampling.tool_grammar import Style
from workers.serve.text.tool_calls import (
    DECODER,
    BlockParser,
    ToolCall,
    ToolParser,
    WholeParser,
    call_of,
    dumped,
    json_object,
)

_BEGIN, _END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_ALL_BEGIN, _ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_PYTHON = "<|python_tag|>"
_FENCED = re.compile(r"\s*([^\n]+?)\s*\n```(?:json)?\s*\n(.*?)\n?\s*(?:```)?\s*", re.DOTALL)


@dataclass(frozen=True)
class ToolFormat:
    """One way of writing calls."""

    style: Style
    """Its name among the grammars that force a call."""
    marks: tuple[str, ...]
    """Kept in the text of an answer, also where they are special tokens."""
    make_parser: Callable[[Collection[str]], ToolParser]
    """From the names of the functions that were offered."""
    write: Callable[[list[ToolCall]], str]
    """Calls as the model would have written them; for templates that know none."""


def _parse_deepseek(block: str) -> list[ToolCall] | None:
    """`function<sep>name`, then a fenced object (V2.5, V3, R1); or `name<sep>object` (V3.1)."""
    head, separator, rest = block.partition(_SEPARATOR)
    if not separator:
        return None
    name, text = head.strip(), rest
    if name == "function" and (fenced := _FENCED.fullmatch(rest)):
        name, text = fenced.group(1), fenced.group(2)
    arguments = json_object(text)
    return None if arguments is None or not name else [ToolCall(name, dumped(arguments))]


def _parse_hermes(block: str) -> list[ToolCall] | None:
    found = call_of(json_object(block))
    return None if found is None else [found]


def _parse_llama(text: str) -> list[ToolCall] | None:
    """One object, or several with semicolons between them."""
    calls = []
    rest = text.strip().removeprefix(_PYTHON).strip()
    while rest:
        try:
            document, end = DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        if (call := call_of(document)) is None:
            return None
        calls.append(call)
        rest = rest[end:].lstrip("; \n")
    return calls


def _deepseek_parser(names: Collection[str]) -> ToolParser:
    return BlockParser(_BEGIN, _END, (_ALL_BEGIN, _ALL_END), _parse_deepseek, names)


def _hermes_parser(names: Collection[str]) -> ToolParser:
    return BlockParser("<tool_call>", "</tool_call>", (), _parse_hermes, names)


def _llama_parser(names: Collection[str]) -> ToolParser:
    return WholeParser((_PYTHON, "{"), _parse_llama, names)


def _write_v3(calls: list[ToolCall]) -> str:
    inner = "\n".join(
        f"{_BEGIN}function{_SEPARATOR}{c.name}\n```json\n{c.arguments}\n```{_END}" for c in calls
    )
    return f"{_ALL_BEGIN}{inner}{_ALL_END}"


def _write_v31(calls: list[ToolCall]) -> str:
    inner = "".join(f"{_BEGIN}{c.name}{_SEPARATOR}{c.arguments}{_END}" for c in calls)
    return f"{_ALL_BEGIN}{inner}{_ALL_END}"


def _write_hermes(calls: list[ToolCall]) -> str:
    return "\n".join(
        f'<tool_call>\n{{"name": {dumped(c.name)}, "arguments": {c.arguments}}}\n</tool_call>'
        for c in calls
    )


def _write_llama(calls: list[ToolCall]) -> str:
    return "; ".join(f'{{"name": {dumped(c.name)}, "parameters": {c.arguments}}}' for c in calls)


_DEEPSEEK_MARKS = (_ALL_BEGIN, _ALL_END, _BEGIN, _END, _SEPARATOR)
_HERMES_MARKS = ("<tool_call>", "</tool_call>")
DEEPSEEK = ToolFormat("deepseek", _DEEPSEEK_MARKS, _deepseek_parser, _write_v3)
DEEPSEEK_V31 = ToolFormat("deepseek_v31", _DEEPSEEK_MARKS, _deepseek_parser, _write_v31)
HERMES = ToolFormat("qwen", _HERMES_MARKS, _hermes_parser, _write_hermes)
LLAMA = ToolFormat("llama", (_PYTHON,), _llama_parser, _write_llama)


def format_of(template: str, has_token: Callable[[str], bool]) -> ToolFormat:
    """The format that a model was taught.

    Args:
        template: its chat template, "" for none.
        has_token: whether the vocabulary has a token of that text.
    """
    if _ALL_BEGIN in template:
        fenced = "```json" in template or f"function{_SEPARATOR}" in template
        return DEEPSEEK if fenced else DEEPSEEK_V31
    if "<tool_call>" in template:
        return HERMES
    if _PYTHON in template or "Environment: ipython" in template:
        return LLAMA
    if has_token(_ALL_BEGIN):
        return DEEPSEEK
    return LLAMA if has_token(_PYTHON) and not has_token("<tool_call>") else HERMES

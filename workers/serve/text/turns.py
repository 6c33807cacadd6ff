"""Messages of the API as the turns that a chat template reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from workers.serve.http.errors import bad_value
from workers.serve.http.schemas_chat import Message
from workers.serve.text.reasoning import CLOSE, OPEN
from workers.serve.text.shield import Shield
from workers.serve.text.tool_calls import ToolCall, dumped, json_object
from workers.serve.text.tool_formats import ToolFormat

Turn = dict[str, Any]
_USES_TOOLS = re.compile(r"\{[%{][^}]*\btools\b")
_USES_RESULTS = re.compile(r"""['"]tool['"]""")
_ASKS_FOR_NONE = re.compile(r"content['\"]?\]?\s+is\s+(not\s+)?none")
_WRITES_OBJECTS = re.compile(r"arguments\s*\|\s*tojson")


def knows_tools(template: str) -> bool:
    """Whether a template writes the definitions of functions itself."""
    return bool(_USES_TOOLS.search(template))


def knows_results(template: str) -> bool:
    """Whether a template has a place for results, and so for calls."""
    return bool(_USES_RESULTS.search(template))


def turns_of(
    messages: Sequence[Message], template: str, form: ToolFormat, shield: Shield
) -> list[Turn]:
    """What the template is given; texts of clients are shielded.

    Raises:
        ApiError: 400 for content that is not text, or calls whose arguments are no JSON object.
    """
    return [_turn(m, template, form, shield) for m in messages]


def tools_text(definitions: Sequence[dict[str, Any]], form: ToolFormat) -> str:
    """How to call functions, for templates that do not say it."""
    example = form.write([ToolCall("name_of_function", '{"name_of_argument": "value"}')])
    listed = "\n".join(json.dumps(d["function"], ensure_ascii=False) for d in definitions)
    return (
        "You can call functions. These are there, one JSON object a line:\n"
        f"{listed}\n\n"
        "To call one, answer with exactly this and nothing else, once for each call:\n"
        f"{example}\n\n"
        "You are then given the result. Answer in plain words when no function is needed."
    )


def with_system_text(turns: list[Turn], text: str) -> list[Turn]:
    """The turns with a text for the model before everything else."""
    if turns and turns[0]["role"] == "system":
        first = turns[0] | {"content": f"{turns[0]['content']}\n\n{text}"}
        return [first, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _turn(message: Message, template: str, form: ToolFormat, shield: Shield) -> Turn:
    role = "system" if message.role == "developer" else message.role
    # What the model thought stands between its own tags, which templates look for.
    keep = (OPEN, CLOSE) if role == "assistant" else ()
    content = shield.hide(_plain_text(message), keep)
    if role == "tool":
        return _result(message, content, template, shield)
    turn: Turn = {"role": role, "content": content}
    if isinstance(message.reasoning_content, str) and role == "assistant":
        turn["reasoning_content"] = shield.hide(message.reasoning_content)
    if message.tool_calls and role == "assistant":
        return _calling(turn, message, template, form, shield)
    return turn


def _result(message: Message, content: str, template: str, shield: Shield) -> Turn:
    if knows_results(template):
        known = {"tool_call_id": message.tool_call_id, "name": message.name}
        given = {k: shield.hide(v) for k, v in known.items() if v is not None}
        return {"role": "tool", "content": content} | given
    return {"role": "user", "content": f"The function's result:\n{content}"}


def _calling(turn: Turn, message: Message, template: str, form: ToolFormat, shield: Shield) -> Turn:
    calls = []
    for call in message.tool_calls or ():
        arguments = json_object(call.function.arguments or "{}")
        if arguments is None:
            raise bad_value("the arguments of a call must be a JSON object as text", "messages")
        calls.append((call.id, shield.hide(call.function.name), shield.hide_all(arguments)))
    if not knows_results(template):
        written = form.write([ToolCall(name, dumped(a)) for _, name, a in calls])
        return turn | {"content": f"{turn['content']}\n{written}".strip()}
    as_objects = bool(_WRITES_OBJECTS.search(template))
    # DeepSeek's templates take a turn for a call where there is no content at all.
    nothing = None if _ASKS_FOR_NONE.search(template) else ""
    return turn | {
        "content": turn["content"] or nothing,
        "tool_calls": [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": a if as_objects else dumped(a)},
            }
            for call_id, name, a in calls
        ],
    }


def _plain_text(message: Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    if any(part.type != "text" for part in message.content):
        raise bad_value("only text is understood: no pictures, sounds or files", "messages")
    return "".join(part.text or "" for part in message.content)

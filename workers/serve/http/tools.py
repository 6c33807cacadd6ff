"""What a chat wants of functions and forms: checked, and turned into prompt, parser and grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.serve.engines.base import ModelFacts
from workers.serve.http.errors import bad_value
from workers.serve.http.grammar_checks import CHECKS
from workers.serve.http.guard import need
from workers.serve.http.schemas_chat import ChatRequest, Tool, ToolChoice, definitions
from workers.serve.http.streaming import encoded
from workers.serve.native.sampling import grammar as grammars
from workers.serve.text.prompts import Prompter
from workers.serve.text.tool_calls import OneCall, ToolParser
from workers.serve.text.tool_formats import ToolFormat

MAX_TOOLS_BYTES = 256 * 1024
"""Of all definitions together: they are read by every template and stand in every prompt."""


@dataclass(frozen=True)
class Functions:
    """The functions of a chat; none when there are no definitions to show."""

    definitions: list[dict[str, Any]]
    form: ToolFormat
    forced: tuple[str, ...] = ()
    """Names of which one must be called."""
    parallel: bool = True

    @property
    def names(self) -> list[str]:
        """Of all that the model may call."""
        return [d["function"]["name"] for d in self.definitions]

    def parser(self) -> ToolParser | None:
        """For one answer."""
        if not self.definitions:
            return None
        parser = self.form.make_parser(self.names)
        return parser if self.parallel else OneCall(parser)

    def grammar(self) -> str | None:
        """What holds the answer to a call; None when it is free."""
        if not self.forced:
            return None
        wanted = [d["function"] for d in self.definitions if d["function"]["name"] in self.forced]
        return grammars.for_tools(wanted, self.form.style)


def functions_of(body: ChatRequest, prompter: Prompter, adapter: str | None) -> Functions:
    """What a chat says of functions.

    Raises:
        ApiError: 400 for a choice that cannot be, or definitions that are too large.
    """
    tools, choice = body.tools or [], body.tool_choice
    form = prompter.tool_format(adapter)
    if not tools and isinstance(choice, ToolChoice | str) and choice not in ("none", "auto"):
        raise bad_value("tool_choice needs tools", "tool_choice")
    if not tools or choice == "none":
        return Functions([], form)
    check_tools(tools)
    forced = _forced(tools, choice)
    return Functions(definitions(tools), form, forced, body.parallel_tool_calls is not False)


def check_tools(tools: list[Tool]) -> None:
    """Refuse two of one name and too much text.

    Raises:
        ApiError: 400.
    """
    names = [t.function.name for t in tools]
    if len(set(names)) < len(names):
        raise bad_value("two functions have the same name", "tools")
    if len(encoded({"tools": definitions(tools)})) > MAX_TOOLS_BYTES:
        raise bad_value(f"the definitions are above {MAX_TOOLS_BYTES // 1024} KiB", "tools")


def form_of(body: ChatRequest) -> str | None:
    """The grammar of `response_format`; None for free text.

    Raises:
        ApiError: 400 for a schema that is missing or no object.
    """
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return grammars.JSON_OBJECT
    schema = wanted.json_schema.schema_ if wanted.json_schema else None
    if not isinstance(schema, dict):
        raise bad_value("json_schema.schema must be a JSON object", "response_format")
    return encoded(schema).decode()


async def checked_grammar(body: ChatRequest, functions: Functions, facts: ModelFacts) -> str | None:
    """What the answer must obey. Compiled once here, off the event loop, to refuse it in time.

    Raises:
        ApiError: 400 with the compiler's reason, or for an engine that knows no grammars.
    """
    form, calls = form_of(body), functions.grammar()
    if form is not None and calls is not None:
        raise bad_value("tool_choice and response_format exclude each other", "response_format")
    found, param = (calls, "tool_choice") if form is None else (form, "response_format")
    if found is None:
        return None
    if calls is not None or "schema" not in facts.features:
        need(facts, "grammar", param, "holding an answer to a form")
    await CHECKS.check(found, "tools" if calls is not None else param)
    return found


def _forced(tools: list[Tool], choice: object) -> tuple[str, ...]:
    names = tuple(t.function.name for t in tools)
    if choice == "required":
        return names
    if not isinstance(choice, ToolChoice):
        return ()
    if choice.function.name not in names:
        raise bad_value("tool_choice names a function that is not in tools", "tool_choice")
    return (choice.function.name,)

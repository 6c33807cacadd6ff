"""Bodies of chats: messages, functions to call, forms of answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from workers.serve.http.schemas import MAX_LOGPROBS, Body, Sampling

MAX_MESSAGES = 2048
MAX_TOOLS = 128
MAX_CALLS = 64

FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.\-]{1,64}$")]


class TextPart(Body):
    """One part of a message's content; other kinds than text are refused by name."""

    type: str = Field(examples=["text"])
    text: str | None = None


class CalledFunction(Body):
    """What was called, as it stands in a history."""

    name: FunctionName
    arguments: str | None = Field(None, description="A JSON object as text.", examples=["{}"])


class PastCall(Body):
    """A call that the model made earlier."""

    id: str | None = Field(None, max_length=256)
    type: str | None = None
    function: CalledFunction


class Message(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[PastCall] | None = Field(None, max_length=MAX_CALLS)
    tool_call_id: str | None = Field(None, max_length=256)
    reasoning_content: str | None = None


class JsonSchema(Body):
    """The form that an answer must have."""

    name: str = Field("answer", max_length=256)
    schema_: dict[str, Any] | bool | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Body):
    """Text, any JSON object, or JSON after a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class FunctionDefinition(Body):
    """A function that the model may call."""

    name: FunctionName = Field(examples=["get_weather"])
    description: str | None = Field(None, max_length=16_384)
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of the arguments.")
    strict: bool | None = None


class Tool(Body):
    """Only functions can be called."""

    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(Body):
    """The name alone."""

    name: FunctionName


class ToolChoice(Body):
    """One function that must be called."""

    type: Literal["function"]
    function: ChosenFunction


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(
        min_length=1, max_length=MAX_MESSAGES, examples=[[{"role": "user", "content": "Hello"}]]
    )
    tools: list[Tool] | None = Field(None, max_length=MAX_TOOLS)
    chat_template_kwargs: dict[str, bool] | None = Field(
        None, description="Switches of the template: `thinking`, `enable_thinking`."
    )
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1, description="Newer name of max_tokens.")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: ResponseFormat | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    include_reasoning: bool = Field(True, description="false leaves `<think>` in the content.")
    modalities: list[str] | None = Field(None, description='Only ["text"].')
    functions: list[Any] | None = Field(None, description="Refused: use `tools`.")

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """`max_completion_tokens` is the newer name."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """`logprobs` switches on, `top_logprobs` says how many."""
        return (self.top_logprobs or 0) if self.logprobs else None


class TokenizeRequest(Body):
    """POST /tokenize: either text or messages in, tokens out."""

    prompt: str | None = Field(None, examples=["The fox"])
    messages: list[Message] | None = Field(None, min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] | None = Field(None, max_length=MAX_TOOLS)
    model: str | None = Field(None, max_length=512)
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: dict[str, bool] | None = None


def definitions(tools: list[Tool] | None) -> list[dict[str, Any]]:
    """Functions as templates read them."""
    return [
        {
            "type": "function",
            "function": {
                "name": t.function.name,
                "description": t.function.description or "",
                "parameters": t.function.parameters or {"type": "object", "properties": {}},
            },
        }
        for t in tools or ()
    ]

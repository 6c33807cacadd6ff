"""Bodies of requests. Unknown fields are accepted; known ones are held to type and range."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from workers.serve.http.errors import from_validation

MAX_CHOICES = 8
MAX_PROMPTS = 64
MAX_LOGPROBS = 20

StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class Body(BaseModel):
    """Strict about types, so that "1" is not 1; tolerant of fields of other servers."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


class StreamOptions(Body):
    """What else a stream says."""

    include_usage: bool | None = None


class Sampling(Body):
    """What all three routes share."""

    model: str | None = Field(None, max_length=512)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: StopString | Annotated[list[StopString], Field(max_length=16)] | None = None
    stop_token_ids: list[TokenId] | None = Field(None, max_length=64)
    ignore_eos: bool | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=300
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """Name of the field that limits the answer, and its value."""
        return "max_tokens", None

    @property
    def wanted_logprobs(self) -> int | None:
        """Alternatives to report a token; None reports nothing."""
        return None

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class TextPart(Body):
    """One part of a message's content; other kinds than text are refused by name."""

    type: str
    text: str | None = None


class Message(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None


class ResponseFormat(Body):
    """Only plain text for now."""

    type: str


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=2048)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    include_reasoning: bool = True
    """False leaves `<think>` in the content."""
    chat_template_kwargs: dict[str, bool] | None = None

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


class CompletionRequest(Sampling):
    """POST /v1/completions: raw text in, its continuation out."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[
            list[Annotated[list[int], Field(min_length=1)]],
            Field(min_length=1, max_length=MAX_PROMPTS),
        ]
    )
    max_tokens: int | None = Field(None, ge=1)
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """The only name here."""
        return "max_tokens", self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """A number here."""
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry a prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if all(isinstance(p, int) for p in self.prompt):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]


class GenerateRequest(Sampling):
    """POST /generate: the guide's plain route."""

    prompt: str
    max_length: int | None = Field(None, ge=1)
    """New tokens, as the guide uses it."""
    max_new_tokens: int | None = Field(None, ge=1)

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """`max_new_tokens` is transformers' name of the same."""
        if self.max_new_tokens is not None:
            return "max_new_tokens", self.max_new_tokens
        return "max_length", self.max_length


_B = TypeVar("_B", bound=Body)


def parse(cls: type[_B], body: bytes) -> _B:
    """The request of a body.

    Raises:
        ApiError: 400 with the field at fault.
    """
    try:
        return cls.model_validate_json(body)
    except ValidationError as e:
        raise from_validation(e) from e

"""Bodies of requests. Unknown fields are accepted; known ones are held to type and range."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)

from workers.serve.http.errors import from_validation

MAX_CHOICES = 8
MAX_BEST_OF = 16
MAX_PROMPTS = 64
MAX_INPUTS = 128
"""Texts of one request for embeddings."""
MAX_LOGPROBS = 20

StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[TokenId], Field(min_length=1)]


def _kind(value: object) -> str:
    """Which of the four forms of a prompt it is, by its first part.

    Trying all of them would compare a thousand ids with text first, and complain of four things.
    """
    if not isinstance(value, list):
        return "Text"
    first = value[0] if value else 0
    if isinstance(first, list):
        return "Lists"
    return "Texts" if isinstance(first, str) else "Tokens"


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
    user: str | None = Field(None, description="Accepted, not used.")

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """Name of the field that limits the answer, and its value."""
        return "max_tokens", None

    @property
    def total_tokens(self) -> int | None:
        """Limit of prompt and answer together."""
        return None

    @property
    def wanted_temperature(self) -> float | None:
        """0 is greedy; None leaves it to the model's maker."""
        return self.temperature

    @property
    def rows(self) -> int:
        """Answers to write a prompt."""
        return self.n or 1

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


class CompletionRequest(Sampling):
    """POST /v1/completions: raw text in, its continuation out."""

    prompt: Annotated[
        Annotated[str, Tag("Text")]
        | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS), Tag("Texts")]
        | Annotated[Tokens, Tag("Tokens")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS), Tag("Lists")],
        Discriminator(_kind),
    ] = Field(description="Text, texts, token ids, or lists of token ids.", examples=["The fox"])
    max_tokens: int | None = Field(
        None, ge=0, description="0 needs `echo`: only the prompt is scored."
    )
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="How many alternatives to report a token."
    )
    echo: bool | None = Field(None, description="Begin the answer with the prompt.")
    suffix: str | None = Field(None, description="Refused: these models do not fill in.")
    best_of: int | None = Field(
        None, ge=1, le=MAX_BEST_OF, description="Write so many, answer with the `n` most probable."
    )

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """The only name here."""
        return "max_tokens", self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """A number here; ranking needs those of the chosen tokens."""
        return 0 if self.logprobs is None and self.rows > (self.n or 1) else self.logprobs

    @property
    def rows(self) -> int:
        """Answers to write a prompt."""
        return max(self.n or 1, self.best_of or 1)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry a prompt."""
        return _one_each(self.prompt)


class GenerateRequest(Sampling):
    """POST /generate: prompt in, text out, with the names of transformers' `generate`."""

    prompt: str = Field(examples=["The quick brown fox"])
    max_length: int | None = Field(
        None, ge=1, description="Tokens of prompt and answer together, as `generate` counts them."
    )
    max_new_tokens: int | None = Field(None, ge=1, description="Tokens of the answer.")
    do_sample: bool | None = Field(
        None, description="false: the most probable token each time, as temperature 0."
    )
    num_return_sequences: int | None = Field(None, ge=1, le=MAX_CHOICES)
    num_beams: int | None = Field(None, ge=1, description="Only 1: beam search is refused.")
    return_full_text: bool | None = Field(None, description="Begin the text with the prompt.")

    @property
    def wanted_tokens(self) -> tuple[str, int | None]:
        """The answer's own limit."""
        return "max_new_tokens", self.max_new_tokens

    @property
    def total_tokens(self) -> int | None:
        """`max_new_tokens` wins, as in transformers."""
        return self.max_length if self.max_new_tokens is None else None

    @property
    def wanted_temperature(self) -> float | None:
        """`do_sample` decides, where it is there."""
        return 0.0 if self.do_sample is False else self.temperature

    @property
    def rows(self) -> int:
        """Answers to write."""
        return self.num_return_sequences or self.n or 1


class EmbeddingRequest(Body):
    """POST /v1/embeddings: vectors of texts."""

    input: Annotated[
        Annotated[str, Tag("Text")]
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS), Tag("Texts")]
        | Annotated[Tokens, Tag("Tokens")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_INPUTS), Tag("Lists")],
        Discriminator(_kind),
    ] = Field(description="Text, texts, token ids, or lists of token ids.", examples=["The fox"])
    model: str | None = Field(None, max_length=512)
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64 is little-endian float32."
    )
    dimensions: int | None = Field(None, ge=1, description="Only the model's own size.")
    user: str | None = None

    @property
    def inputs(self) -> list[str | list[int]]:
        """One entry a vector."""
        return _one_each(self.input)


class DetokenizeRequest(Body):
    """POST /detokenize: tokens in, text out."""

    tokens: list[TokenId] = Field(max_length=1_000_000, examples=[[1, 2, 3]])
    model: str | None = Field(None, max_length=512)


def _one_each(value: object) -> list[str | list[int]]:
    if isinstance(value, str):
        return [value]
    assert isinstance(value, list)
    return [value] if isinstance(value[0], int) else value


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


def unknown_fields(body: Body) -> list[str]:
    """Names of fields that mean nothing here, sorted; of nested objects with a dot."""
    found = list(body.model_extra or ())
    for name in type(body).model_fields:
        value = getattr(body, name)
        if isinstance(value, Body):
            found += [f"{name}.{inner}" for inner in unknown_fields(value)]
    return sorted(found)

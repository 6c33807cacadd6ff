"""The shapes of answers, for the OpenAPI document and for tests.

Answers are written as plain JSON, never through these: a model a token would cost more than the
token.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Finish = Literal["stop", "length", "tool_calls"]


class Answer(BaseModel):
    """Fields may come to it later."""

    model_config = ConfigDict(extra="allow")


class ErrorObject(Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Answer):
    """Every answer from status 400 on."""

    error: ErrorObject


class PromptDetails(Answer):
    """Of the prompt's tokens."""

    cached_tokens: int


class CompletionDetails(Answer):
    """Of the answer's tokens."""

    reasoning_tokens: int


class Usage(Answer):
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Labeled(Answer):
    """Present when the server labels what AI has made."""

    ai_generated: bool | None = None
    aigc: dict[str, str] | None = None


class TokenScore(Answer):
    """One token and its natural logarithm of probability."""

    token: str
    logprob: float
    bytes: list[int]


class TokenScores(TokenScore):
    """With the alternatives, best first."""

    top_logprobs: list[TokenScore]


class ChatLogprobs(Answer):
    """One entry a token."""

    content: list[TokenScores]
    refusal: None = None


class FunctionCall(Answer):
    """`arguments` is always the text of a JSON object."""

    name: str
    arguments: str


class ToolCallAnswer(Answer):
    """A call that the model wants made."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class ChatMessage(Answer):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    reasoning_content: str | None = Field(None, description="What it thought before.")
    reasoning: str | None = Field(None, description="The same, by its newer name.")
    tool_calls: list[ToolCallAnswer] | None = None


class ChatChoice(Answer):
    """One answer."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatCompletion(Labeled):
    """Answer of /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class TextLogprobs(Answer):
    """Lists of one length; the first token of an echoed prompt has no score."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TextChoice(Answer):
    """One continuation."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Finish


class TextCompletion(Labeled):
    """Answer of /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class Generated(Labeled):
    """Answer of /generate."""

    id: str
    created: int
    model: str
    text: str
    texts: list[str] | None = Field(None, description="All, when several were asked for.")
    finish_reason: Finish
    usage: Usage


class EmbeddingItem(Answer):
    """One vector, as numbers or as base64 of float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer):
    """Counts of tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Answer):
    """Answer of /v1/embeddings."""

    object: Literal["list"]
    model: str
    data: list[EmbeddingItem]
    usage: EmbeddingUsage


class ModelItem(Answer):
    """A name that requests may use."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: str | None
    max_model_len: int


class ModelList(Answer):
    """Answer of /v1/models."""

    object: Literal["list"]
    data: list[ModelItem]


class Tokenized(Answer):
    """Answer of /tokenize."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Detokenized(Answer):
    """Answer of /detokenize."""

    prompt: str


class TokenizerInfo(Answer):
    """Answer of /tokenizer_info."""

    tokenizer_class: str
    chat_template: str | None
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None


class Health(Answer):
    """Answer of /health and /health/ready."""

    live: bool
    ready: bool
    status: str
    reason: str


class Alive(Answer):
    """Answer of /health/live."""

    live: bool


class RememberedRequest(Answer):
    """A request with its text, for the owner."""

    request_id: str
    request: dict[str, Any]
    answers: list[dict[str, str]]

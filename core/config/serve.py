"""The spec of a local API: which model, by which engine, where, and its limits."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from core.config.base import Spec

EngineChoice = Literal["auto", "native", "transformers", "vllm", "llama_cpp"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "8bit", "4bit"]

_NAME = r"([A-Za-z0-9_]([A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])"
_HOST = rf"^({_NAME}(:\d{{1,5}})?|[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]+)$"
"""A name or an address, as in a Host header, IPv6 with or without brackets; no wildcard, no URL."""
_ORIGIN = rf"^[A-Za-z][A-Za-z0-9+.-]*://{_NAME}(:\d{{1,5}})?/?$"
"""Scheme, host, port (RFC 6454): nothing behind it, and no wildcard. Extensions have schemes."""


def _matching(pattern: str, kind: str, expected: str) -> AfterValidator:
    """A pattern whose error says what is expected, not the pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError(kind, "expected " + expected)
        return value

    return AfterValidator(check)


Host = Annotated[
    str, _matching(_HOST, "host", "a name or address without scheme and path: my-box.lan")
]
Origin = Annotated[
    str, _matching(_ORIGIN, "origin", "scheme and host, no path, no *: http://localhost:3000")
]


class ServeSpec(Spec):
    """One local API server."""

    model: str = Field(description="Model id of the library or a folder.")
    adapter: str | None = Field(None, description="Adapter folder, or the id of a training run.")
    adapters: tuple[str, ...] = Field(
        (), description="More adapters, beside the first; each is a model name of its own."
    )
    merge_adapter: bool = Field(
        False, description="Fold the adapter into the weights: faster, but no base model beside it."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one.")
    allowed_hosts: tuple[Host, ...] = Field(
        (), description="Host names to accept beside the loopback ones."
    )
    allowed_origins: tuple[Origin, ...] = Field(
        (), description="Origins of web pages that may ask, such as http://localhost:3000."
    )

    engine: EngineChoice = Field("auto", description="What makes the tokens; auto says why.")
    precision: Precision = Field(
        "auto",
        description="auto: bf16 on a card that has it if the model fits, else 4bit; fp32 on a CPU.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where to run.")
    cpu_offload: bool = Field(
        False, description="Keep in main memory what the card cannot hold: works, but slowly."
    )
    memory_share: float = Field(
        0.85, gt=0.1, le=0.98, description="Of the card's memory, all its users together."
    )
    max_context_tokens: int = Field(
        0, ge=0, description="Longest prompt and answer together; 0: what model and memory allow."
    )
    max_batch_size: int = Field(
        0, ge=0, le=512, description="Requests generated together; 0: 16 on a CPU, 128 on a card."
    )
    prefill_tokens: int = Field(
        0, ge=0, le=65_536, description="Prompt tokens read in one step; 0: by the device."
    )
    prefix_cache: bool = Field(True, description="Remember the beginnings of prompts.")
    cuda_graphs: bool = Field(True, description="Record the steps of a card and replay them.")

    vllm_python: str | None = Field(None, description="The Python of an environment with vLLM.")
    tensor_parallel: int = Field(1, ge=1, le=64, description="Cards for one model; vLLM only.")
    ray_address: str | None = Field(None, description="A Ray cluster of several machines; vLLM.")
    llama_server: str | None = Field(None, description="The llama-server program, for GGUF files.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers on the card, llama.cpp; -1: all.")

    queue_limit: int = Field(256, ge=0, description="Requests that may wait; more get 503.")
    queue_limit_tokens: int = Field(
        262_144, ge=1, description="Prompt tokens that may wait; more get 503."
    )
    max_new_tokens: int = Field(
        2048, ge=1, le=131_072, description="The most a client may ask for."
    )
    default_new_tokens: int = Field(200, ge=1, description="When the client does not say.")
    queue_timeout_s: float = Field(
        60.0, gt=0, description="A request that waits, or would wait, longer for its turn gets 503."
    )
    request_timeout_s: float = Field(600.0, gt=0, description="A request ends after this.")
    drain_s: float = Field(10.0, ge=0, description="Time for open requests when stopping.")
    max_restarts: int = Field(
        5, ge=0, description="How often a crashed engine is started again before giving up."
    )

    audit_log: bool = Field(
        True, description="Write who asked what kind of thing when; never the text."
    )
    ai_label: bool = Field(False, description="Mark answers as made by AI, visibly and in headers.")
    remember_requests: int = Field(
        200, ge=0, le=10_000, description="Last requests kept in memory, to be opened in the chat."
    )

"""The spec of a local API: which model, where, and its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.base import Spec


class ServeSpec(Spec):
    """One local API server."""

    model: str = Field(description="Model id of the library or a folder.")
    adapter: str | None = Field(None, description="Adapter folder, or the id of a training run.")
    merge_adapter: bool = Field(
        False, description="Fold the adapter into the weights: faster, but no base model beside it."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names to accept beside the loopback ones."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 on a card that has it, fp32 on the CPU."
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where to run.")
    max_batch_size: int = Field(16, ge=1, le=512, description="Requests generated together.")
    queue_limit: int = Field(256, ge=0, description="Requests that may wait; more get 503.")
    max_new_tokens: int = Field(
        2048, ge=1, le=131_072, description="The most a client may ask for."
    )
    default_new_tokens: int = Field(200, ge=1, description="When the client does not say.")
    queue_timeout_s: float = Field(
        60.0, gt=0, description="A request that waits longer for its turn gets 503."
    )
    request_timeout_s: float = Field(600.0, gt=0, description="A request ends after this.")
    drain_s: float = Field(10.0, ge=0, description="Time for open requests when stopping.")

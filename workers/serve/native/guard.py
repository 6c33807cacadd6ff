"""What no request may bring into a pass: it would cost the others their answers."""

from __future__ import annotations

import math
from collections.abc import Collection

from workers.serve.engines.base import Request, SamplingParams


def why_refused(
    request: Request, vocab_size: int, context_tokens: int, adapters: Collection[str | None]
) -> str:
    """A reason in plain English; "" for a request that can be answered."""
    if request.adapter not in adapters:
        return f"there is no adapter {request.adapter}" if request.adapter else "no base model"
    if not request.prompt:
        return "the prompt is empty"
    if min(request.prompt) < 0 or max(request.prompt) >= vocab_size:
        return f"a token id of the prompt is not in the vocabulary of {vocab_size}"
    writes = request.params.max_new_tokens > 0 and not request.params.embed
    if len(request.prompt) + writes > context_tokens:
        return f"the prompt has {len(request.prompt)} tokens, there is room for {context_tokens}"
    return _bad_parameter(request.params, vocab_size)


def _bad_parameter(params: SamplingParams, vocab_size: int) -> str:
    numbers = {
        "temperature": (params.temperature, 0.0),
        "top_p": (params.top_p, 0.0),
        "top_k": (params.top_k, 0),
        "min_p": (params.min_p, 0.0),
        "max_new_tokens": (params.max_new_tokens, 0),
        "presence_penalty": (params.presence_penalty, -math.inf),
        "frequency_penalty": (params.frequency_penalty, -math.inf),
        "repetition_penalty": (params.repetition_penalty, math.ulp(0.0)),
    }
    for name, (value, least) in numbers.items():
        if not (math.isfinite(value) and value >= least):
            return f"{name} cannot be {value}"
    if any(not 0 <= token < vocab_size for token, _ in params.logit_bias):
        return "a token id of logit_bias is not in the vocabulary"
    return ""

"""From a request to what the engine gets: nothing that could hurt it passes.

Six plain requests end other servers' workers (empty prompts, ids outside the vocabulary, a
temperature of zero, a top_k above the vocabulary, a prompt above the cache, a repeated id).
"""

from __future__ import annotations

from core.config.serve import ServeSpec
from workers.serve.engines.base import ModelFacts, SamplingParams
from workers.serve.http.errors import ApiError, bad_value
from workers.serve.http.schemas import ChatRequest, CompletionRequest, Sampling

_COLDEST = 0.01
"""Below this a temperature only overflows; the result is greedy anyway."""


def refuse_unsupported(request: Sampling) -> None:
    """Say no to what would otherwise be dropped in silence."""
    if isinstance(request, ChatRequest):
        if request.tools and request.tool_choice != "none":
            raise bad_value("tools are not supported by this engine", "tools")
        if request.response_format and request.response_format.type != "text":
            raise bad_value("only response_format 'text' is supported", "response_format")
        if request.top_logprobs is not None and not request.logprobs:
            raise bad_value("top_logprobs needs logprobs to be true", "top_logprobs")
    if isinstance(request, CompletionRequest):
        if request.echo:
            raise bad_value("echo is not supported", "echo")
        if request.suffix:
            raise bad_value("suffix is not supported", "suffix")
        if request.best_of is not None and request.best_of != (request.n or 1):
            raise bad_value("best_of is not supported", "best_of")


def check_prompt(tokens: list[int], facts: ModelFacts) -> None:
    """Not empty, in the vocabulary, and with room for one token of answer.

    Raises:
        ApiError: 400 with the numbers.
    """
    if not tokens:
        raise bad_value("the prompt is empty", "prompt")
    if min(tokens) < 0 or max(tokens) >= facts.vocab_size:
        raise bad_value(f"token ids must be from 0 to {facts.vocab_size - 1}", "prompt")
    if len(tokens) >= facts.max_context_tokens:
        raise ApiError(
            400,
            f"the prompt has {len(tokens)} tokens, but the context holds "
            f"{facts.max_context_tokens}, the answer included",
            param="prompt",
            code="context_length_exceeded",
        )


def sampling_params(
    request: Sampling,
    spec: ServeSpec,
    facts: ModelFacts,
    prompt_tokens: int,
    defaults: dict[str, float],
) -> SamplingParams:
    """The engine's parameters; `defaults` come from the model's generation config.

    Raises:
        ApiError: 400.
    """
    if request.stop_token_ids and max(request.stop_token_ids) >= facts.vocab_size:
        raise bad_value(f"token ids must be below {facts.vocab_size}", "stop_token_ids")
    top_k = _given(request.top_k, defaults.get("top_k", 0))
    wanted_logprobs = request.wanted_logprobs
    return SamplingParams(
        max_new_tokens=_new_tokens(request, spec, facts.max_context_tokens - prompt_tokens),
        temperature=_temperature(_given(request.temperature, defaults.get("temperature", 1.0))),
        top_p=_given(request.top_p, defaults.get("top_p", 1.0)),
        top_k=int(top_k) if 1 <= top_k < facts.vocab_size else 0,
        min_p=_given(request.min_p, 0.0),
        presence_penalty=_given(request.presence_penalty, 0.0),
        frequency_penalty=_given(request.frequency_penalty, 0.0),
        repetition_penalty=_given(
            request.repetition_penalty, defaults.get("repetition_penalty", 1.0)
        ),
        seed=None if request.seed is None else str(request.seed),
        stop_token_ids=frozenset(request.stop_token_ids or ()),
        ignore_eos=bool(request.ignore_eos),
        logprobs=None if wanted_logprobs is None else min(wanted_logprobs, facts.vocab_size),
        logit_bias=_logit_bias(request.logit_bias or {}, facts.vocab_size),
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _temperature(value: float) -> float:
    return 0.0 if value == 0 else max(_COLDEST, float(value))


def _new_tokens(request: Sampling, spec: ServeSpec, room: int) -> int:
    field, wanted = request.wanted_tokens
    if wanted is None:
        return min(room, spec.default_new_tokens, spec.max_new_tokens)
    if wanted > spec.max_new_tokens:
        raise bad_value(f"{field} is {wanted}, this server allows {spec.max_new_tokens}", field)
    # What the context cannot hold is cut; the answer then ends with finish_reason "length".
    return min(room, wanted)


def _logit_bias(wanted: dict[str, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    found = []
    for key, bias in wanted.items():
        if not key.isascii() or not key.isdigit() or int(key[:12]) >= vocab_size:
            raise bad_value(f"token ids must be below {vocab_size}", "logit_bias")
        found.append((int(key), bias))
    return tuple(found)

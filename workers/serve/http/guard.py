"""From a request to what the engine gets: nothing that could hurt it passes.

Six plain requests end other servers' workers (empty prompts, ids outside the vocabulary, a
temperature of zero, a top_k above the vocabulary, a prompt above the cache, a repeated id).
"""

from __future__ import annotations

from dataclasses import replace

from core.config.serve import ServeSpec
from workers.serve.engines.base import Feature, ModelFacts, SamplingParams
from workers.serve.http.errors import ApiError, bad_value
from workers.serve.http.schemas import Sampling

_COLDEST = 0.01
"""Below this a temperature only overflows; the result is greedy anyway."""


def need(facts: ModelFacts, feature: Feature, param: str, what: str) -> None:
    """Refuse what the engine at work cannot do.

    Raises:
        ApiError: 400.
    """
    if feature not in facts.features:
        raise ApiError(
            400,
            f"{what} is not possible with the engine {facts.engine}",
            param=param,
            code="unsupported_by_engine",
        )


def check_prompt(tokens: list[int], facts: ModelFacts, answer_tokens: int = 1) -> None:
    """Not empty, in the vocabulary, and with room for an answer of so many tokens at least.

    Raises:
        ApiError: 400 with the numbers.
    """
    if not tokens:
        raise bad_value("the prompt is empty", "prompt")
    if min(tokens) < 0 or max(tokens) >= facts.vocab_size:
        raise bad_value(f"token ids must be from 0 to {facts.vocab_size - 1}", "prompt")
    if len(tokens) + answer_tokens > facts.max_context_tokens:
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
    *,
    grammar: str | None = None,
    prompt_logprobs: int | None = None,
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
        max_new_tokens=_new_tokens(request, spec, facts.max_context_tokens, prompt_tokens),
        temperature=_temperature(
            _given(request.wanted_temperature, defaults.get("temperature", 1.0))
        ),
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
        grammar=grammar,
        prompt_logprobs=prompt_logprobs,
    )


def numbered(params: SamplingParams, number: int) -> SamplingParams:
    """The parameters of answer `number` of a prompt: each has random numbers of its own."""
    if params.seed is None or not number:
        return params
    return replace(params, seed=f"{params.seed}:{number}")


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _temperature(value: float) -> float:
    return 0.0 if value == 0 else max(_COLDEST, float(value))


def _new_tokens(request: Sampling, spec: ServeSpec, context: int, prompt_tokens: int) -> int:
    """What the context cannot hold is cut; the answer then ends with finish_reason "length"."""
    room = context - prompt_tokens
    if (total := request.total_tokens) is not None:
        if total <= prompt_tokens:
            raise bad_value(
                f"max_length counts the prompt too, which has {prompt_tokens} tokens; "
                "max_new_tokens counts only what is new",
                "max_length",
            )
        field, wanted = "max_length", total - prompt_tokens
    else:
        field, given = request.wanted_tokens
        if given is None:
            return min(room, spec.default_new_tokens, spec.max_new_tokens)
        wanted = given
    if wanted > spec.max_new_tokens:
        raise bad_value(f"{field} is {wanted}, this server allows {spec.max_new_tokens}", field)
    return min(room, wanted)


def _logit_bias(wanted: dict[str, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    found = []
    for key, bias in wanted.items():
        if not key.isascii() or not key.isdigit() or int(key[:12]) >= vocab_size:
            raise bad_value(f"token ids must be below {vocab_size}", "logit_bias")
        found.append((int(key), bias))
    return tuple(found)

"""What is asked of prompts alone: scores of their tokens, and their embedding."""

from __future__ import annotations

from typing import Any

import torch

from workers.serve.engines.base import NO_TOKEN, Request, TokenEvent, TokenLogprob
from workers.serve.engines.loading import LoadedModel

_ROWS_AT_ONCE = 256
"""Positions whose probabilities are computed together: each is as long as the vocabulary."""


def reads(request: Request) -> bool:
    """Whether something is asked of the prompt itself."""
    return only_reads(request) or request.params.prompt_logprobs is not None


def only_reads(request: Request) -> bool:
    """Whether no answer is wanted at all."""
    return request.params.embed or request.params.max_new_tokens == 0


def read_prompt(request: Request, loaded: LoadedModel) -> TokenEvent:
    """One pass over the whole prompt, without a cache.

    Returns:
        the event that ends a request which `only_reads`; of another its `prompt_logprobs` count.
    """
    loaded.adapters.use(request.adapter)
    ids = torch.tensor([request.prompt], device=loaded.device)
    with torch.inference_mode():
        if request.params.embed:
            output = loaded.model(input_ids=ids, use_cache=False, output_hidden_states=True)
            vector = _embedding(output.hidden_states[-1][0])
            return TokenEvent(NO_TOKEN, "stop", embedding=vector)
        if request.params.prompt_logprobs is None:
            return TokenEvent(NO_TOKEN, "length")
        output = loaded.model(input_ids=ids, use_cache=False)
        scores = _scores(output.logits[0], ids[0], request.params.prompt_logprobs)
        return TokenEvent(NO_TOKEN, "length", prompt_logprobs=scores)


def _embedding(hidden: torch.Tensor) -> tuple[float, ...]:
    """Mean of [tokens, hidden], of length one."""
    mean = hidden.float().mean(dim=0)
    found: list[float] = (mean / mean.norm().clamp(min=1e-12)).tolist()
    return tuple(found)


def _scores(
    logits: torch.Tensor, ids: torch.Tensor, alternatives: int
) -> tuple[TokenLogprob | None, ...]:
    """One entry a prompt token, from the logits before it; None for the first."""
    found: list[TokenLogprob | None] = [None]
    for start in range(0, len(ids) - 1, _ROWS_AT_ONCE):
        rows = logits[start : min(start + _ROWS_AT_ONCE, len(ids) - 1)].float().log_softmax(-1)
        chosen = rows.gather(1, ids[start + 1 : start + 1 + len(rows), None])[:, 0].tolist()
        best: Any = rows.topk(alternatives) if alternatives else None
        for i, value in enumerate(chosen):
            pairs = (
                zip(best.indices[i].tolist(), best.values[i].tolist(), strict=True) if best else ()
            )
            found.append(TokenLogprob(value, tuple(pairs)))
    return tuple(found)

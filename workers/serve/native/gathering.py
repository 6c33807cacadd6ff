"""What is gathered while a prompt is read in bites: scores of its tokens, parts of an embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.serve.engines.base import TokenLogprob
from workers.serve.native.plan import Share
from workers.serve.native.rows import Row
from workers.serve.native.sampling.logprobs import (
    HostLogprobs,
    Logprobs,
    prompt_logprobs,
    whole_prompt,
)


def score_prompts(
    scored: Sequence[tuple[Share, int]], logits: Tensor
) -> list[tuple[Row, int, Logprobs]]:
    """Row, first position and scores of the prompt tokens that follow each share's tokens.

    Args:
        scored: shares, and where in the logits theirs begin.
        logits: [L, vocabulary] of the pass.
    """
    found = []
    for share, first in scored:
        row, most = share.row, share.row.request.params.prompt_logprobs
        following = row.tokens[
            share.start + 1 : min(share.start + share.count + 1, row.prompt_tokens)
        ]
        tokens = torch.tensor(following, device=logits.device)
        theirs = logits[first : first + len(following)]
        found.append((row, share.start, prompt_logprobs(theirs, tokens, most or 0)))
    return found


def prompt_scores_of(
    parts: Sequence[Logprobs], alternatives: int
) -> tuple[TokenLogprob | None, ...]:
    """One entry a prompt token, of all bites; None for the first."""
    entries: list[TokenLogprob] = []
    for part in parts:
        host = HostLogprobs.of(part)
        entries += [host.row(i, alternatives) for i in range(len(host.chosen))]
    return whole_prompt(entries)


def embedding_of(parts: Sequence[Tensor], tokens: int) -> tuple[float, ...]:
    """Mean of the last hidden states over a prompt, of length one.

    Args:
        parts: [hidden] float32 each, sums over bites.
        tokens: of the prompt.
    """
    mean = torch.stack(list(parts)).sum(0) / tokens
    return tuple((mean / mean.norm().clamp(min=1e-12)).tolist())

"""Natural logarithms of the model's own probabilities, before temperature and penalties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from workers.serve.engines.base import TokenLogprob

CHUNK_BYTES = 64 * 2**20
"""Logits in float32 that are held at once while a prompt is looked at."""


class Logprobs(NamedTuple):
    """Of L rows, on the logits' device."""

    chosen: torch.Tensor
    """[L] float32: of the row's token."""
    top_tokens: torch.Tensor
    """[L, n] int64: the most probable tokens, best first; n is the most that any row wants."""
    top: torch.Tensor
    """[L, n] float32."""


class HostLogprobs(NamedTuple):
    """`Logprobs` after their way to the host, as lists."""

    chosen: list[float]
    top_tokens: list[list[int]]
    top: list[list[float]]

    @classmethod
    def of(cls, logprobs: Logprobs) -> HostLogprobs:
        """Reads tensors that lie on the host (or waits for the device)."""
        return cls(*(part.tolist() for part in logprobs))

    def row(self, index: int, alternatives: int) -> TokenLogprob:
        """What row `index` reports when it wants so many alternatives."""
        tokens, values = self.top_tokens[index][:alternatives], self.top[index][:alternatives]
        pairs = tuple(zip(tokens, values, strict=True))
        return TokenLogprob(chosen=self.chosen[index], top=pairs)


def logprobs_of(logits: torch.Tensor, tokens: torch.Tensor, alternatives: int) -> Logprobs:
    """Of each row's token and its best alternatives.

    Args:
        logits: [L, vocabulary], any float type, as the model gave them.
        tokens: [L] int64.
        alternatives: how many of the best tokens; 0 gives empty tensors.
    """
    exact = logits.float()
    norm = exact.logsumexp(dim=-1, keepdim=True)
    chosen = (exact.gather(1, tokens[:, None]) - norm)[:, 0]
    best = exact.topk(min(alternatives, exact.shape[-1]), dim=-1)
    return Logprobs(chosen, best.indices, best.values - norm)


def prompt_logprobs(
    logits: torch.Tensor, tokens: torch.Tensor, alternatives: int, chunk_bytes: int = CHUNK_BYTES
) -> Logprobs:
    """As `logprobs_of` over many positions, a few rows at a time in float32.

    Args:
        logits: [T, vocabulary]: row i is what the model expects behind token i.
        tokens: [T] int64: what came behind it, so the prompt moved by one.
        alternatives: as above.
        chunk_bytes: what the float32 copy of a chunk may take.
    """
    rows = max(1, chunk_bytes // (4 * logits.shape[-1]))
    parts = [
        logprobs_of(some, theirs, alternatives)
        for some, theirs in zip(torch.split(logits, rows), torch.split(tokens, rows), strict=True)
    ]
    return Logprobs(*(torch.cat(part) for part in zip(*parts, strict=True)))


def whole_prompt(parts: Sequence[TokenLogprob]) -> tuple[TokenLogprob | None, ...]:
    """One entry a prompt token: nothing is said of the first, it follows on nothing."""
    return (None, *parts)

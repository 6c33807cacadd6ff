"""From logits to one token a row, with parameters and a random stream of each row's own.

A row's draw depends on its own logits and its own uniform number only, so that a seed gives the
same answer whoever else is in the batch.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workers.serve.engines.base import SamplingParams, TokenLogprob
from workers.serve.native.sampling.grammar import GrammarError, RowGrammar
from workers.serve.native.sampling.sampler import allowed


@dataclass
class RowSampler:
    """The memory that sampling needs of one row."""

    params: SamplingParams
    prompt: list[int]
    counts: Counter[int] = field(default_factory=Counter)
    """Generated tokens so far."""
    grammar: RowGrammar | None = None
    """What the answer must obey."""
    failure: str = ""
    """Why the answer cannot go on."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # A string seed goes through SHA-512: near seeds give unrelated streams. None is the OS's.
        self._random = random.Random(self.params.seed)

    def uniform(self) -> float:
        """The row's next random number in [0, 1)."""
        return self._random.random()

    def took(self, token: int) -> None:
        """The row goes on by a token."""
        self.counts[token] += 1
        try:
            if self.grammar is not None and not self.failure:
                self.grammar.accept(token)
        except GrammarError as e:
            self.failure = str(e)

    def fill(self, masks: np.ndarray[tuple[int, int], np.dtype[np.int32]], index: int) -> None:
        """Write what the grammar allows into a line of masks."""
        try:
            if self.grammar is not None and not self.failure:
                self.grammar.fill(masks, index)
        except GrammarError as e:
            self.failure = str(e)
            masks[index] = -1


def choose(
    logits: torch.Tensor, rows: Sequence[RowSampler]
) -> tuple[list[int], list[TokenLogprob | None]]:
    """One token a row.

    Args:
        logits: [rows, vocabulary], any float type.
        rows: the rows' parameters and memory; their random streams move on.
    """
    raw = logits.float()
    adjusted = _obeying(_adjusted(raw, rows), rows)
    tokens = adjusted.argmax(dim=-1)
    plain = [i for i, r in enumerate(rows) if not r.params.greedy and not r.params.filtered]
    filtered = [i for i, r in enumerate(rows) if not r.params.greedy and r.params.filtered]
    if plain:
        tokens[plain] = _draw(_scaled(adjusted[plain], [rows[i] for i in plain]), rows, plain)
    if filtered:
        tokens[filtered] = _draw_filtered(adjusted[filtered], rows, filtered)
    chosen: list[int] = tokens.tolist()
    for row, token in zip(rows, chosen, strict=True):
        row.took(token)
    return chosen, _logprobs(raw, chosen, rows)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]


def _scaled(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """Probabilities at each row's temperature."""
    return torch.softmax(logits / _column([r.params.temperature for r in rows], logits), dim=-1)


def _inverse(probabilities: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """Index at which each row's cumulated probability passes its uniform number."""
    cumulated = probabilities.cumsum(dim=-1)
    marks = _column([r.uniform() for r in rows], cumulated) * cumulated[:, -1:]
    found = torch.searchsorted(cumulated, marks, right=True)[:, 0]
    # Rounding may put the mark on the very end: take the last token that has any probability.
    last = (probabilities > 0).int().cumsum(dim=-1).argmax(dim=-1)
    return torch.minimum(found, last)


def _draw(
    probabilities: torch.Tensor, rows: Sequence[RowSampler], index: Sequence[int]
) -> torch.Tensor:
    return _inverse(probabilities, [rows[i] for i in index])


def _draw_filtered(
    logits: torch.Tensor, rows: Sequence[RowSampler], index: Sequence[int]
) -> torch.Tensor:
    """Top-k, then nucleus (https://arxiv.org/abs/1904.09751), then min-p (2407.01082)."""
    chosen = [rows[i] for i in index]
    probabilities, order = _scaled(logits, chosen).sort(dim=-1, descending=True, stable=True)
    size = probabilities.shape[-1]
    rank = torch.arange(size, device=logits.device)[None, :]
    top_k = _column([r.params.top_k or size for r in chosen], logits)
    kept = torch.where(rank < top_k, probabilities, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    before = kept.cumsum(dim=-1) - kept
    kept = torch.where(before < _column([r.params.top_p for r in chosen], logits), kept, 0.0)
    floor = kept[:, :1] * _column([r.params.min_p for r in chosen], logits)
    kept = torch.where(kept >= floor, kept, 0.0)
    return order.gather(1, _inverse(kept, chosen)[:, None])[:, 0]


def _adjusted(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """Logits after penalties and biases; the input is left alone."""
    touched = [i for i, r in enumerate(rows) if r.params.penalized or r.params.logit_bias]
    if not touched:
        return logits
    adjusted = logits.clone()
    for i in touched:
        _penalize(adjusted[i], rows[i])
        for token, bias in rows[i].params.logit_bias:
            adjusted[i, token] += bias
    return adjusted


def _obeying(logits: torch.Tensor, rows: Sequence[RowSampler]) -> torch.Tensor:
    """Logits with what grammars forbid left without a chance."""
    words = max((row.grammar.words for row in rows if row.grammar is not None), default=0)
    if not words:
        return logits
    masks = np.full((len(rows), words), -1, dtype=np.int32)
    for index, row in enumerate(rows):
        row.fill(masks, index)
    may = allowed(torch.from_numpy(masks).to(logits.device), logits.shape[-1])
    return logits.masked_fill(~may, -torch.inf)


def _penalize(logits: torch.Tensor, row: RowSampler) -> None:
    """Repetition (https://arxiv.org/abs/1909.05858) counts the prompt, the other two do not."""
    params = row.params
    if params.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*row.prompt, *row.counts}), device=logits.device)
        values = logits[seen]
        factor = params.repetition_penalty
        logits[seen] = torch.where(values > 0, values / factor, values * factor)
    if row.counts and (params.presence_penalty or params.frequency_penalty):
        tokens = torch.tensor(list(row.counts), device=logits.device)
        counts = torch.tensor(list(row.counts.values()), device=logits.device)
        logits[tokens] -= params.presence_penalty + params.frequency_penalty * counts


def _logprobs(
    logits: torch.Tensor, chosen: list[int], rows: Sequence[RowSampler]
) -> list[TokenLogprob | None]:
    found: list[TokenLogprob | None] = [None] * len(rows)
    for i, row in enumerate(rows):
        wanted = row.params.logprobs
        if wanted is None:
            continue
        values = torch.log_softmax(logits[i], dim=-1)
        top = values.topk(wanted) if wanted else None
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True) if top else ()
        found[i] = TokenLogprob(chosen=float(values[chosen[i]]), top=tuple(pairs))
    return found

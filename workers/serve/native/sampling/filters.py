"""Which tokens may be drawn: top-k, nucleus and min-p as a single floor under the probabilities.

A token stays when its probability reaches the floor of its row, so equal probabilities are kept or
cut together, whatever the order of the vocabulary. Order and meaning are those of transformers:
top-k, then top-p (https://arxiv.org/abs/1904.09751) over what is left, then min-p
(https://arxiv.org/abs/2407.01082).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SHORT_LIST = 1024
"""Best tokens that are looked at before a whole vocabulary is sorted."""


class Limits(NamedTuple):
    """One column a filter, [rows, 1] each."""

    top_k: torch.Tensor
    """int64; 0 keeps all."""
    top_p: torch.Tensor
    """float32; 1 and more keep all."""
    min_p: torch.Tensor
    """float32; 0 keeps all."""

    def of(self, rows: torch.Tensor) -> Limits:
        """The limits of some rows."""
        return Limits(*(column[rows] for column in self))


def floors(weights: torch.Tensor, limits: Limits) -> torch.Tensor:
    """The smallest weight that each row still draws from.

    Args:
        weights: [rows, vocabulary] float32, not negative, in any scale a row.
        limits: what each row wants.

    Returns:
        [rows, 1]; zero where a row keeps everything.
    """
    if weights.device.type == "cpu":
        found = _by_short_list(weights, limits)
    else:
        found = _by_rank_and_mass(weights.sort(dim=-1, descending=True).values, weights, limits)
    return torch.maximum(found, weights.amax(dim=-1, keepdim=True) * limits.min_p)


def _by_short_list(weights: torch.Tensor, limits: Limits) -> torch.Tensor:
    """Sorts a whole row only where its best tokens do not settle the matter."""
    short = weights.topk(min(SHORT_LIST, weights.shape[-1])).values
    found = _by_rank_and_mass(short, weights, limits)
    # A floor above the list's last entry lies inside the list, and nothing behind it can tie.
    unsettled = (limits.top_k >= SHORT_LIST) | ((found <= short[:, -1:]) & (found > 0))
    rows = unsettled[:, 0].nonzero()[:, 0]
    if short.shape[-1] < weights.shape[-1] and rows.numel():
        whole = weights[rows]
        ranked = whole.sort(dim=-1, descending=True).values
        found[rows] = _by_rank_and_mass(ranked, whole, limits.of(rows))
    return found


def _by_rank_and_mass(ranked: torch.Tensor, weights: torch.Tensor, limits: Limits) -> torch.Tensor:
    """Floors of top-k and top-p; `ranked` are the best weights, in falling order."""
    last = ranked.shape[-1] - 1
    by_rank = ranked.gather(1, (limits.top_k - 1).clamp(0, last))
    by_rank = torch.where(limits.top_k > 0, by_rank, 0.0)
    mass = torch.where(weights >= by_rank, weights, 0.0).sum(dim=-1, keepdim=True)
    # A nucleus ends with the token that lifts the sum over its share.
    short_of = ranked.cumsum(dim=-1) < limits.top_p * mass
    by_mass = ranked.gather(1, short_of.sum(dim=-1, keepdim=True).clamp(max=last))
    by_mass = torch.where(limits.top_p < 1.0, by_mass, 0.0)
    return torch.maximum(by_rank, by_mass)

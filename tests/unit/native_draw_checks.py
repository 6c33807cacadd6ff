"""The drawing kernel against plain torch; run with TRITON_INTERPRET=1, or on a card by the tests
there.

`python native_draw_checks.py NAME` runs one check.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling import triton_draw
from workers.serve.native.sampling.filters import floors
from workers.serve.native.sampling.seeds import uniform
from workers.serve.native.sampling.state import SlotState

WARM = SamplingParams(max_new_tokens=8, temperature=1.0)
WISHES = (
    WARM,
    replace(WARM, temperature=0.0),
    replace(WARM, temperature=0.6, top_p=0.95),
    replace(WARM, top_k=1),
    replace(WARM, top_k=50, top_p=0.8),
    replace(WARM, temperature=1.5, top_k=3000),
    replace(WARM, min_p=0.1),
    replace(WARM, min_p=1.0),
    replace(WARM, temperature=0.01, top_p=0.5, top_k=20, min_p=0.02),
    replace(WARM, top_p=0.05),
)


def state_of(wishes: tuple[SamplingParams, ...], vocabulary: int, device: str) -> SlotState:
    state = SlotState(vocabulary, len(wishes), torch.device(device))
    for slot, params in enumerate(wishes):
        state.join(slot, params, [], 1000 + slot, [0] * slot)
    return state


def weights_of(logits: torch.Tensor, state: SlotState, slots: torch.Tensor) -> torch.Tensor:
    """[rows, vocabulary] float64: the chances of the tokens, by plain torch."""
    temperature = state.real("temperature", slots).clamp(min=1e-6)
    values = logits.float()
    weights = ((values - values.amax(-1, keepdim=True)) / temperature).exp()
    kept = weights >= floors(weights, state.limits(slots))
    return torch.where(kept, weights, 0.0).double()


def agrees(logits: torch.Tensor, device: str) -> None:
    """Each token is the one at which the running sum passes the row's number, within rounding."""
    rows, vocabulary = logits.shape
    state = state_of(WISHES, vocabulary, device)
    slots = torch.randperm(rows, generator=torch.Generator().manual_seed(1)).to(device)
    tokens = triton_draw.draw(logits, slots, state.reals, state.wholes, filtered=True)
    weights = weights_of(logits, state, slots)
    passed = weights.cumsum(-1) / weights.sum(-1, keepdim=True)
    chance = uniform(state.whole("seed", slots), state.whole("position", slots)).double()
    best = logits.float().argmax(-1)
    greedy = state.real("temperature", slots)[:, 0] == 0
    assert torch.equal(tokens[greedy], best[greedy]), "greedy"
    at = tokens[:, None]
    after = passed.gather(1, at)[:, 0]
    before = after - (weights.gather(1, at)[:, 0] / weights.sum(-1))
    room = 3e-4  # a nucleus may end one token earlier or later, and sums are rounded
    fits = (before <= chance + room) & (after >= chance - room)
    assert bool((fits | greedy).all()), (tokens, chance, before, after)
    has_chance = (weights.gather(1, at)[:, 0] > 0) | greedy
    assert int((~has_chance).sum()) <= 1, "drawn without a chance"


def random_logits(vocabulary: int, scale: float, dtype: torch.dtype, seed: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(len(WISHES), vocabulary, generator=numbers)).to(dtype)


def peaked(device: str = "cpu") -> None:
    agrees(random_logits(4500, 3.0, torch.float32, 0).to(device), device)


def flat(device: str = "cpu") -> None:
    """No short list holds a nucleus here."""
    agrees(random_logits(4500, 0.05, torch.float32, 1).to(device), device)


def half(device: str = "cpu") -> None:
    """bfloat16 has many equal logits."""
    agrees(random_logits(4500, 2.0, torch.bfloat16, 2).to(device), device)


def small(device: str = "cpu") -> None:
    agrees(random_logits(77, 2.0, torch.float32, 3).to(device), device)


def masked(device: str = "cpu") -> None:
    logits = random_logits(4500, 1.0, torch.float32, 4)
    logits[:, 5:] = -torch.inf
    agrees(logits.to(device), device)


def strided(device: str = "cpu") -> None:
    """Rows of a wider table."""
    agrees(random_logits(6000, 1.0, torch.float32, 5).to(device)[:, :4500], device)


def frequencies(device: str = "cpu", rows: int = 120) -> None:
    """Equal logits, seeds of their own: tokens come as often as they should, others never."""
    logits = random_logits(30, 1.0, torch.float32, 6)[:1].expand(rows, -1).to(device)
    slots = torch.arange(rows, device=device)
    for wish in (replace(WARM, top_p=0.8), replace(WARM, top_k=3), replace(WARM, min_p=0.3)):
        state = state_of((wish,) * rows, 30, device)
        expected = weights_of(logits[:1], state, slots[:1])[0]
        expected = rows * expected / expected.sum()
        tokens = triton_draw.draw(logits, slots, state.reals, state.wholes, filtered=True)
        found = torch.bincount(tokens, minlength=30)
        assert not found[expected == 0].any(), (wish, found, expected)
        common = expected >= 4
        gap = ((found - expected) ** 2 / expected.clamp(min=1e-9))[common].sum()
        freedom = int(common.sum())
        assert float(gap) < freedom + 5 * (2 * freedom) ** 0.5, (wish, found, expected)


CHECKS = {f.__name__: f for f in (peaked, flat, half, small, masked, strided, frequencies)}

if __name__ == "__main__":
    CHECKS[sys.argv[1]]()

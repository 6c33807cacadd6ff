"""From logits to one token a row, for the whole batch on the device.

Every row has parameters and a random stream of its own, kept a slot (`state.py`); what a row draws
depends on its own logits, seed and number of tokens only. `sample` never waits for the device, so
that it can be queued right behind the forward pass of a step while the host prepares the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch

from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling import seeds
from workers.serve.native.sampling.filters import floors
from workers.serve.native.sampling.logprobs import Logprobs, logprobs_of
from workers.serve.native.sampling.penalties import penalize
from workers.serve.native.sampling.state import SlotState, Traits
from workers.train.fast.support import kernels_run_on

log = logging.getLogger(__name__)


class Sampled(NamedTuple):
    """What a pass chose, on the device."""

    tokens: torch.Tensor
    """[L] int64."""
    logprobs: Logprobs | None
    """Only when some row of the pass wants them."""


class Sampler:
    """Logits to tokens. Slots are the batch's places, 0 to `max_rows` - 1.

    Slot `max_rows` is free for padding rows: it is greedy and changes nothing of others.
    """

    def __init__(self, vocab_size: int, max_rows: int, device: torch.device | str) -> None:
        self._vocab_size = vocab_size
        self._device = torch.device(device)
        self._state = SlotState(vocab_size, max_rows, self._device)

    @torch.inference_mode()
    def join(
        self,
        slot: int,
        params: SamplingParams,
        prompt: Sequence[int],
        seed: int | None = None,
        produced: Sequence[int] = (),
    ) -> None:
        """Give a slot to a row, whatever was there before.

        Args:
            slot: place of the row in the batch.
            params: checked by the guard: ids below the vocabulary, temperature 0 or not too small.
            prompt: counted by the repetition penalty.
            seed: 63 bits (`seeds.seed_of`); None derives it from `params.seed`.
            produced: tokens made so far, of a row that comes back after it was pushed out.
        """
        seed = seeds.seed_of(params.seed) if seed is None else seed
        self._state.join(slot, params, prompt, seed, produced)

    @torch.inference_mode()
    def leave(self, slot: int) -> None:
        """The row of a slot is over; harmless when there is none."""
        self._state.leave(slot)

    @torch.inference_mode()
    def sample(
        self,
        logits: torch.Tensor,
        slots: torch.Tensor,
        masks: torch.Tensor | None = None,
        rows: Sequence[int] | None = None,
    ) -> Sampled:
        """One token a row; positions and counts move on.

        Args:
            logits: [L, vocabulary], any float type; left as it is.
            slots: [L] int64 on the device, no slot twice.
            masks: [L, ceil(vocabulary / 32)] int32 on the device, bit j of word i allows token
                32 * i + j; None allows all.
            rows: the same slots on the host, so that only what these rows need is worked out.
                Without it all joined slots count.
        """
        traits = self._state.traits(rows)
        tokens = self._choose(self._adjusted(logits, slots, masks, traits), slots, traits)
        self._state.advance(slots, tokens, traits)
        if traits.alternatives is None:
            return Sampled(tokens, None)
        return Sampled(tokens, logprobs_of(logits, tokens, traits.alternatives))

    def _adjusted(
        self,
        logits: torch.Tensor,
        slots: torch.Tensor,
        masks: torch.Tensor | None,
        traits: Traits,
    ) -> torch.Tensor:
        """Logits after penalties, biases and the grammar's mask; float32 if there were any."""
        if masks is None and not (traits.penalized or traits.biased):
            return logits
        state, adjusted = self._state, logits.float()
        if traits.penalized:
            counts = state.counts.table[state.whole("line", slots)]
            names = ("repetition", "presence", "frequency")
            adjusted = penalize(adjusted, counts, *(state.real(name, slots) for name in names))
        if traits.biased and state.biases is not None:
            adjusted = adjusted.clone() if adjusted is logits else adjusted
            state.biases.add_to(adjusted, slots)
        if masks is not None:
            adjusted = adjusted.masked_fill(~allowed(masks, adjusted.shape[-1]), -torch.inf)
        return adjusted

    def _choose(self, logits: torch.Tensor, slots: torch.Tensor, traits: Traits) -> torch.Tensor:
        kernel = _kernel(self._device) if traits.drawn else None
        if kernel is not None:
            state = self._state
            return kernel(logits, slots, state.reals, state.wholes, traits.filtered)
        best = logits.argmax(dim=-1)
        if not traits.drawn:
            return best
        if self._device.type == "cpu":
            return self._choose_on_host(logits, slots, best)
        drawn = self._draw(logits, slots, traits.filtered)
        return torch.where(self._state.real("temperature", slots)[:, 0] > 0, drawn, best)

    def _choose_on_host(
        self, logits: torch.Tensor, slots: torch.Tensor, best: torch.Tensor
    ) -> torch.Tensor:
        """As on the device, but greedy rows cost nothing more and only who filters is filtered."""
        params = [self._state.params.get(slot) for slot in slots.tolist()]
        for filtered in (False, True):
            index = [
                i for i, p in enumerate(params) if p and not p.greedy and p.filtered is filtered
            ]
            if index:
                some = torch.tensor(index)
                best[some] = self._draw(logits[some], slots[some], filtered)
        return best

    def _draw(self, logits: torch.Tensor, slots: torch.Tensor, filtered: bool) -> torch.Tensor:
        """One token a row by its probabilities; rows of temperature 0 give anything."""
        state, logits = self._state, logits.float()
        temperature = state.real("temperature", slots)
        top = logits.amax(dim=-1, keepdim=True)
        weights = ((logits - top) / torch.where(temperature > 0, temperature, 1.0)).exp()
        if filtered:
            weights = torch.where(weights >= floors(weights, state.limits(slots)), weights, 0.0)
        chance = seeds.uniform(state.whole("seed", slots), state.whole("position", slots))
        return pick(weights, chance[:, None])


@lru_cache(maxsize=8)
def _kernel(device: torch.device) -> Callable[..., torch.Tensor] | None:
    """The drawing of a whole row in one kernel, on cards that run it."""
    if device.type != "cuda" or not kernels_run_on(torch.empty(0, device=device)):
        return None
    try:
        from workers.serve.native.sampling.triton_draw import draw
    except Exception:
        log.warning("no kernel for drawing tokens", exc_info=True)
        return None
    return draw


def pick(weights: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """[rows]: where the running sum of weights [rows, n] passes its share `chance` [rows, 1]."""
    passed = weights.cumsum(dim=-1)
    total = passed[:, -1:]
    # Below the total in any rounding: the place found then has a weight of its own.
    mark = torch.minimum(chance * total, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(passed, mark, right=True)[:, 0]
    return found.clamp(max=weights.shape[-1] - 1)  # only where the logits were no numbers


def allowed(masks: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Bit masks [rows, words] int32 as booleans [rows, vocabulary]; no bit is a no."""
    bits = torch.arange(32, dtype=torch.int32, device=masks.device)
    spread = ((masks[:, :, None] >> bits) & 1).bool().flatten(1)
    missing = vocab_size - spread.shape[-1]
    if missing > 0:
        spread = torch.nn.functional.pad(spread, (0, missing), value=False)
    return spread[:, :vocab_size]

"""What the sampler knows of each slot: on the device, so that a step copies nothing but changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch

from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling.filters import Limits
from workers.serve.native.sampling.penalties import Biases, Counts, to_device

REALS = ("temperature", "top_p", "min_p", "repetition", "presence", "frequency")
WHOLES = ("seed", "position", "top_k", "line")
_FREE_REALS = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Traits:
    """What a row, or the rows of a pass together, need; known on the host."""

    drawn: bool
    """Some row does not simply take the most probable token."""
    filtered: bool
    penalized: bool
    biased: bool
    alternatives: int | None
    """The most that any row wants reported; None when none wants logprobs."""

    @classmethod
    def of(cls, params: SamplingParams) -> Traits:
        """Of one row."""
        return cls(
            drawn=not params.greedy,
            filtered=params.filtered and not params.greedy,
            penalized=params.penalized,
            biased=bool(params.logit_bias),
            alternatives=params.logprobs,
        )

    @classmethod
    def together(cls, kinds: Collection[Traits]) -> Traits:
        """Of rows of these kinds."""
        wanted = [kind.alternatives for kind in kinds if kind.alternatives is not None]
        return cls(
            drawn=any(kind.drawn for kind in kinds),
            filtered=any(kind.filtered for kind in kinds),
            penalized=any(kind.penalized for kind in kinds),
            biased=any(kind.biased for kind in kinds),
            alternatives=max(wanted, default=None),
        )


class SlotState:
    """Parameters, seed, position and counts of every slot.

    One slot more than asked for: the last is nobody's and may stand for padding.
    """

    def __init__(self, vocab_size: int, slots: int, device: torch.device) -> None:
        self._slots, self._device = slots + 1, device
        free = torch.tensor(_FREE_REALS, device=device)
        self.reals = free.repeat(self._slots, 1)
        """[slots + 1, REALS] float32."""
        self.wholes = torch.zeros((self._slots, len(WHOLES)), dtype=torch.int64, device=device)
        """[slots + 1, WHOLES] int64."""
        self.counts = Counts(vocab_size, device)
        self.biases: Biases | None = None
        self.params: dict[int, SamplingParams] = {}
        self._kinds: dict[int, Traits] = {}
        self._known_kinds: dict[Traits, Traits] = {}
        """Equal kinds are one object, so that a step can tell them apart without comparing."""
        self._lines: dict[int, int] = {}

    def join(
        self,
        slot: int,
        params: SamplingParams,
        prompt: Sequence[int],
        seed: int,
        produced: Sequence[int],
    ) -> None:
        """Give a slot to a row. `produced` are its tokens so far, when it comes back."""
        self.leave(slot)
        line = 0
        if params.penalized:
            line = self._lines[slot] = self.counts.borrow(prompt, produced)
        self._write(self.reals, slot, _reals(params))
        self._write(self.wholes, slot, (seed, len(produced), params.top_k, line))
        if params.logit_bias:
            self._biases().set(slot, params.logit_bias)
        self.params[slot] = params
        kind = Traits.of(params)
        self._kinds[slot] = self._known_kinds.setdefault(kind, kind)

    def leave(self, slot: int) -> None:
        """The row of a slot is over; harmless when there is none."""
        params = self.params.pop(slot, None)
        if params is None:
            return
        del self._kinds[slot]
        if params.logit_bias:
            self._biases().set(slot, ())
        if slot in self._lines:
            self.counts.give_back(self._lines.pop(slot))
            # A pass that was under way must not count for the line's next owner.
            self._write(self.wholes, slot, (0, 0, 0, 0))

    def traits(self, slots: Iterable[int] | None) -> Traits:
        """What the rows of these slots need together, or those of all; most are of few kinds."""
        kinds = self._kinds
        found = kinds.values() if slots is None else (kinds[s] for s in slots if s in kinds)
        return Traits.together({id(kind): kind for kind in found}.values())

    def advance(self, slots: torch.Tensor, tokens: torch.Tensor, traits: Traits) -> None:
        """Every row has one token more; only what some row needs is kept up."""
        if traits.penalized:
            self.counts.note(self.whole("line", slots), tokens)
        if traits.drawn:
            positions = self.wholes[:, WHOLES.index("position")]
            positions.index_add_(0, slots, torch.ones_like(slots))

    def real(self, name: str, slots: torch.Tensor) -> torch.Tensor:
        """[rows, 1] of one parameter."""
        return self.reals[:, REALS.index(name)][slots][:, None]

    def whole(self, name: str, slots: torch.Tensor) -> torch.Tensor:
        """[rows] of one integer."""
        return self.wholes[:, WHOLES.index(name)][slots]

    def limits(self, slots: torch.Tensor) -> Limits:
        """Filters of rows."""
        top_k = self.whole("top_k", slots)[:, None]
        return Limits(top_k, self.real("top_p", slots), self.real("min_p", slots))

    def _biases(self) -> Biases:
        if self.biases is None:
            self.biases = Biases(self._slots, self._device)
        return self.biases

    def _write(self, table: torch.Tensor, slot: int, values: Sequence[float]) -> None:
        table[slot] = to_device(torch.tensor(values, dtype=table.dtype), self._device)


def _reals(params: SamplingParams) -> tuple[float, ...]:
    return (
        params.temperature,
        params.top_p,
        params.min_p,
        params.repetition_penalty,
        params.presence_penalty,
        params.frequency_penalty,
    )

"""What tokens so far and wishes of the client do to the logits of a row.

The counts of a row take four bytes a token of the vocabulary, so only rows that ask for a penalty
have them; likewise biases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

IN_PROMPT = 1 << 30
"""Bit of a count that says: the prompt has this token. The bits below count what was generated."""
MAX_BIASES = 300


class Counts:
    """Tokens so far, in lines that rows with penalties borrow; line 0 belongs to nobody."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size, self._device = vocab_size, device
        self.table = torch.zeros((0, vocab_size), dtype=torch.int32, device=device)
        """[lines, vocabulary] int32."""
        self._free: list[int] = []

    def borrow(self, prompt: Sequence[int], produced: Sequence[int]) -> int:
        """A line that knows these tokens."""
        if not self._free:
            self._grow()
        line = self._free.pop()
        row = self.table[line]
        row.zero_()
        row.index_add_(0, self._tensor(produced), self._ones(len(produced)))
        known = row[self._tensor(prompt)]
        row[self._tensor(prompt)] = known | IN_PROMPT
        return line

    def give_back(self, line: int) -> None:
        """The row that had it has left."""
        self._free.append(line)

    def note(self, lines: torch.Tensor, tokens: torch.Tensor) -> None:
        """Count one more token a row; line 0 takes what nobody counts."""
        ones = torch.ones_like(tokens, dtype=torch.int32)
        self.table.view(-1).scatter_add_(0, lines * self._vocab_size + tokens, ones)

    def _grow(self) -> None:
        old = self.table.shape[0]
        new = max(2, 2 * old)
        table = torch.zeros((new, self._vocab_size), dtype=torch.int32, device=self._device)
        table[:old] = self.table
        self.table = table
        self._free = list(range(max(1, old), new))

    def _tensor(self, tokens: Sequence[int]) -> torch.Tensor:
        return to_device(torch.tensor(list(tokens), dtype=torch.int64), self._device)

    def _ones(self, count: int) -> torch.Tensor:
        return torch.ones(count, dtype=torch.int32, device=self._device)


class Biases:
    """Logit biases a slot, [slots, MAX_BIASES]; unused places add zero to token 0."""

    def __init__(self, slots: int, device: torch.device) -> None:
        self._device = device
        self.tokens = torch.zeros((slots, MAX_BIASES), dtype=torch.int64, device=device)
        self.values = torch.zeros((slots, MAX_BIASES), dtype=torch.float32, device=device)

    def set(self, slot: int, biases: Sequence[tuple[int, float]]) -> None:
        """The biases of a slot's new row, at most `MAX_BIASES`; an empty list clears them."""
        if len(biases) > MAX_BIASES:
            raise ValueError(f"at most {MAX_BIASES} logit biases")
        rest = [(0, 0.0)] * (MAX_BIASES - len(biases))
        tokens, values = zip(*biases, *rest, strict=True)
        self.tokens[slot] = to_device(torch.tensor(tokens), self._device)
        self.values[slot] = to_device(torch.tensor(values, dtype=torch.float32), self._device)

    def add_to(self, logits: torch.Tensor, slots: torch.Tensor) -> None:
        """Add, in place, to float32 logits [rows, vocabulary]."""
        logits.scatter_add_(1, self.tokens[slots], self.values[slots])


def penalize(
    logits: torch.Tensor,
    counts: torch.Tensor,
    repetition: torch.Tensor,
    presence: torch.Tensor,
    frequency: torch.Tensor,
) -> torch.Tensor:
    """Logits after the penalties; the last three are [rows, 1].

    Repetition (https://arxiv.org/abs/1909.05858) counts the prompt, the other two do not.
    """
    divided = torch.where(logits > 0, logits / repetition, logits * repetition)
    punished = torch.where(counts != 0, divided, logits)
    generated = counts & (IN_PROMPT - 1)
    return punished - presence * (generated > 0) - frequency * generated


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy that the host does not wait for."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)

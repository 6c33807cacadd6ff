"""A key-value cache of rows with lengths of their own, so that answers can join and leave.

Every row (slot) writes at its own position and reads under a mask by its own length. Nothing is
moved when a row joins; when one leaves, the last row takes its place. Prompts are right-padded:
what padding writes lies behind the row's length and is overwritten by the row's next tokens.

Works for any attention whose cache is two tensors of shape [rows, heads, tokens, width], whatever
their widths: full and grouped heads, and the latent of MLA (DeepSeek-V2, V3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache

_BLOCK_TOKENS = 128


@dataclass(frozen=True)
class Window:
    """Which rows the next forward pass touches, and where."""

    rows: slice
    positions: torch.Tensor
    """[rows, queries]: the position of each query token."""
    width: int
    """Tokens of the longest row after this pass: how much is read."""


def _grown(old: torch.Tensor | None, like: torch.Tensor, rows: int, tokens: int) -> torch.Tensor:
    """A buffer of at least `rows` x `tokens` with the old content in its corner."""
    _, heads, _, width = like.shape
    new = like.new_zeros((rows, heads, tokens, width))
    if old is not None:
        new[: old.shape[0], :, : old.shape[2]] = old
    return new


class SlotCache(Cache):  # type: ignore[misc]
    """Cache of up to `max_rows` rows; grows as needed, in tokens by blocks, in rows by doubling."""

    def __init__(self, max_rows: int, max_tokens: int) -> None:
        super().__init__(layers=[])
        self._max_rows, self._max_tokens = max_rows, max_tokens
        self._keys: list[torch.Tensor | None] = []
        self._values: list[torch.Tensor | None] = []
        self._rows, self._tokens = 0, 0
        self._window: Window | None = None

    def open(self, window: Window) -> None:
        """Set where the next forward pass writes and reads; makes room for it."""
        self._window = window
        if window.rows.stop > self._rows:
            self._rows = min(self._max_rows, max(window.rows.stop, 2 * self._rows))
        if window.width > self._tokens:
            blocks = -(-window.width // _BLOCK_TOKENS)
            # Half as much again, so that a growing answer is not copied at every block.
            wanted = max(blocks * _BLOCK_TOKENS, self._tokens + self._tokens // 2)
            self._tokens = max(window.width, min(wanted, self._max_tokens + _BLOCK_TOKENS))

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new states of one layer and return all that its rows may read."""
        while len(self._keys) <= layer_idx:
            self._keys.append(None)
            self._values.append(None)
        keys = self._store(self._keys, layer_idx, key_states)
        return keys, self._store(self._values, layer_idx, value_states)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` over row `target`."""
        for buffer in (*self._keys, *self._values):
            if buffer is not None:
                buffer[target, :, :length] = buffer[source, :, :length]

    def clear(self) -> None:
        """Give all memory back."""
        self._keys, self._values = [], []
        self._rows = self._tokens = 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Unused by models that are given positions; zero is the honest answer for ragged rows."""
        return 0

    @property
    def capacity_tokens(self) -> int:
        """Tokens that the buffers have room for, over all rows."""
        return self._rows * self._tokens

    @property
    def token_bytes(self) -> int:
        """Bytes of one token of one row over all layers, once a pass has run."""
        return sum(
            b.shape[1] * b.shape[3] * b.element_size()
            for b in (*self._keys, *self._values)
            if b is not None
        )

    def _store(
        self, buffers: list[torch.Tensor | None], layer: int, states: torch.Tensor
    ) -> torch.Tensor:
        window = self._window
        assert window is not None, "open() comes before the forward pass"
        buffer = buffers[layer]
        if buffer is None or buffer.shape[0] < self._rows or buffer.shape[2] < self._tokens:
            buffer = buffers[layer] = _grown(buffer, states, self._rows, self._tokens)
        rows = torch.arange(window.rows.start, window.rows.stop, device=states.device)
        # Indices on both sides of a full slice come first: [rows, queries, heads, width].
        positions = window.positions.to(states.device)  # layers may lie on several cards
        buffer[rows[:, None], :, positions] = states.transpose(1, 2)
        return buffer[window.rows, :, : window.width]

"""Token rows in memory, and the micro-batches a step is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workers.train.encoding import Encoded

IGNORED = -100
"""Label of a position without loss (torch's `ignore_index`)."""


@dataclass
class Rows:
    """Encoded rows that have something to learn from, and how many had not."""

    rows: list[Encoded] = field(default_factory=list)
    dropped: int = 0

    def add(self, encoded: Encoded) -> None:
        """Keep a row, unless the cut left no target in it."""
        if encoded.target_tokens:
            self.rows.append(encoded)
        else:
            self.dropped += 1

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self.rows[index]

    @property
    def largest_id(self) -> int:
        """To be compared with the model's embedding."""
        return max((int(row.ids.max()) for row in self.rows), default=0)

    def fingerprint(self) -> str:
        """Changes when the data behind a run change; checked on resume."""
        tokens = sum(len(row) for row in self.rows)
        targets = sum(row.target_tokens for row in self.rows)
        return f"{len(self.rows)} rows, {tokens} tokens, {targets} targets"


@dataclass(frozen=True)
class MicroBatch:
    """Rows of similar length, padded on the right.

    No attention mask: in a causal model no real token sees the padding behind it, and what the
    model makes of the padding has no label. (A mask would cost the fast attention kernels and a
    wait for the card on every forward pass.)
    """

    input_ids: torch.Tensor
    """int64 (rows, length)."""
    positions: torch.Tensor
    """int64 (kept,): where any row has a target to predict; only there logits are computed."""
    targets: torch.Tensor
    """int64 (rows, kept): the token that follows each kept position, or `IGNORED`."""

    def to(self, device: torch.device) -> MicroBatch:
        """On the device, without waiting for the copy."""
        if device.type == "cpu":
            return self
        moved = (
            t.pin_memory().to(device, non_blocking=True)
            for t in (self.input_ids, self.positions, self.targets)
        )
        return MicroBatch(*moved)


@dataclass(frozen=True)
class Window:
    """All micro-batches of one optimizer step."""

    batches: tuple[MicroBatch, ...]
    target_tokens: int
    tokens: int
    """Without padding."""


def make_window(rows: Sequence[Encoded], batch_size: int, pad_id: int) -> Window:
    """Sort by length, longest first (so that memory peaks at once), and cut into micro-batches.

    The order inside a step does not change its gradient, since the loss is one sum over all of it.
    """
    ordered = sorted(rows, key=len, reverse=True)
    groups = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    return Window(
        tuple(make_batch(group, pad_id) for group in groups),
        target_tokens=sum(row.target_tokens for row in rows),
        tokens=sum(len(row) for row in rows),
    )


def make_batch(rows: Sequence[Encoded], pad_id: int) -> MicroBatch:
    """Pad to the longest row; positions behind a row's end are unlabelled by their place."""
    length = max(map(len, rows))
    ids = np.full((len(rows), length), pad_id, np.int64)
    next_ids = np.full((len(rows), length), IGNORED, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row.ids
        next_ids[i, : len(row) - 1] = np.where(row.trained[1:], row.ids[1:], IGNORED)
    positions = np.flatnonzero((next_ids != IGNORED).any(axis=0))
    return MicroBatch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(np.ascontiguousarray(next_ids[:, positions])),
    )

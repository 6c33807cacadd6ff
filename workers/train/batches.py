"""Token rows in memory, and the micro-batches a step is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.train.encoding import Encoded

IGNORED = -100
"""Label of a position without loss (torch's `ignore_index`)."""


@dataclass
class Rows:
    """Encoded rows that have something to learn from, and how many had not.

    A row's place in the list is its training sample number: what alarms name and users exclude.
    """

    rows: list[Encoded] = field(default_factory=list)
    dropped: int = 0
    _files: list[Path] = field(default_factory=list, repr=False)
    _sources: list[tuple[int, int]] = field(default_factory=list, repr=False)
    """Index into `_files`, and line, by sample number."""

    def add(self, encoded: Encoded, file: Path = Path(), line: int = 0) -> int:
        """Keep a row, unless the cut left no target in it: its sample number, or -1."""
        if not encoded.target_tokens:
            self.dropped += 1
            return -1
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._sources.append((len(self._files) - 1, line))
        number = len(self.rows)
        self.rows.append(replace(encoded, samples=(number,) * len(encoded.starts)))
        return number

    def source(self, sample: int) -> tuple[Path, int]:
        """File and line (from 1; 0 when unknown) in which a training sample begins."""
        file, line = self._sources[sample]
        return self._files[file], line

    def take(
        self, plan: Iterable[Sequence[int]], excluded: Collection[int] = frozenset()
    ) -> list[Encoded]:
        """The rows of a plan, each joined from its samples. Excluded samples are left out, and a
        row of nothing else with them.
        """
        kept = ([self.rows[i] for i in row if i not in excluded] for row in plan)
        return [join(row) for row in kept if row]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self.rows[index]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens by sample number."""
        return np.fromiter(map(len, self.rows), np.int64, len(self.rows))

    @property
    def largest_id(self) -> int:
        """To be compared with the model's embedding."""
        return max((int(row.ids.max()) for row in self.rows), default=0)

    def fingerprint(self) -> str:
        """Changes when the data behind a run change; checked on resume."""
        tokens = sum(len(row) for row in self.rows)
        targets = sum(row.target_tokens for row in self.rows)
        return f"{len(self.rows)} rows, {tokens} tokens, {targets} targets"


def join(rows: Sequence[Encoded]) -> Encoded:
    """Several rows behind each other in one, each with its documents' bounds."""
    if len(rows) == 1:
        return rows[0]
    offsets = np.cumsum([0, *map(len, rows)])
    starts = (
        start + int(at) for row, at in zip(rows, offsets, strict=False) for start in row.starts
    )
    return Encoded(
        np.concatenate([row.ids for row in rows]),
        np.concatenate([row.trained for row in rows]),
        tuple(starts),
        tuple(sample for row in rows for sample in row.samples),
    )


@dataclass(frozen=True)
class MicroBatch:
    """Rows side by side, padded on the right; or behind each other in one flat row.

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
    owners: NDArray[np.int64]
    """(rows, kept): the training sample of each target; on the host."""
    position_ids: torch.Tensor | None = None
    """int64 (1, length) of a flat row: they begin at 0 in each document."""
    segments: torch.Tensor | None = None
    """int32 (documents + 1,) of a flat row: where documents begin, and the row's end."""
    longest: int = 0
    """Tokens of the longest document."""

    @property
    def tokens(self) -> int:
        """Places, padding included."""
        return self.input_ids.numel()

    def to(self, device: torch.device) -> MicroBatch:
        """On the device, without waiting for the copy."""
        if device.type == "cpu":
            return self
        moved = {f.name: _moved(getattr(self, f.name), device) for f in fields(self)}
        return MicroBatch(**moved)


def _moved(value: Any, device: torch.device) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Window:
    """All micro-batches of one optimizer step."""

    batches: tuple[MicroBatch, ...]
    target_tokens: int
    tokens: int
    """Without padding."""
    samples: tuple[int, ...] = ()
    """Training sample numbers, each once."""


def make_window(
    rows: Sequence[Encoded], batch_size: int, pad_id: int, *, flat: bool = False
) -> Window:
    """Sort by length, longest first (so that memory peaks at once), and cut into micro-batches.

    The order inside a step does not change its gradient, since the loss is one sum over all of it.
    `flat` is for models with `attention.install`ed: see `make_batch`.
    """
    ordered = sorted(rows, key=len, reverse=True)
    groups = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    return Window(
        tuple(make_batch(group, pad_id, flat=flat) for group in groups),
        target_tokens=sum(row.target_tokens for row in rows),
        tokens=sum(len(row) for row in rows),
        samples=tuple(dict.fromkeys(sample for row in rows for sample in row.samples)),
    )


def make_batch(rows: Sequence[Encoded], pad_id: int, *, flat: bool = False) -> MicroBatch:
    """Rows of one length stand side by side. Others are padded, or joined where `flat` allows.

    Rows of several documents are always joined: padding cannot keep documents apart.
    """
    packed = any(len(row.starts) > 1 for row in rows)
    uneven = len({len(row) for row in rows}) > 1
    return _flat(join(rows)) if packed or (flat and uneven) else _padded(rows, pad_id)


def _padded(rows: Sequence[Encoded], pad_id: int) -> MicroBatch:
    """Pad to the longest row; positions behind a row's end are unlabelled by their place."""
    length = max(map(len, rows))
    ids = np.full((len(rows), length), pad_id, np.int64)
    next_ids = np.full((len(rows), length), IGNORED, np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row.ids
        next_ids[i, : len(row)] = _next_ids(row)
    positions = np.flatnonzero((next_ids != IGNORED).any(axis=0))
    owners = np.repeat([[row.samples[0]] for row in rows], len(positions), axis=1)
    return MicroBatch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(np.ascontiguousarray(next_ids[:, positions])),
        owners.astype(np.int64),
        longest=length,
    )


def _flat(row: Encoded) -> MicroBatch:
    """One row of documents without any padding."""
    bounds = np.asarray([*row.starts, len(row)], np.int32)
    lengths = np.diff(bounds)
    next_ids = _next_ids(row)
    positions = np.flatnonzero(next_ids != IGNORED)
    return MicroBatch(
        torch.from_numpy(row.ids.astype(np.int64)[None]),
        torch.from_numpy(positions),
        torch.from_numpy(next_ids[None, positions]),
        np.repeat(np.asarray(row.samples, np.int64), lengths)[None, positions],
        torch.from_numpy((np.arange(len(row)) - np.repeat(bounds[:-1], lengths))[None]),
        torch.from_numpy(bounds),
        int(lengths.max()),
    )


def _next_ids(row: Encoded) -> NDArray[np.int64]:
    """What each position is to predict: the next token of its document, if that is trained."""
    targets = np.full(len(row), IGNORED, np.int64)
    wanted = row.targets
    targets[:-1][wanted[1:]] = row.ids[1:][wanted[1:]]
    return targets

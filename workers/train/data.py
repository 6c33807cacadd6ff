"""The run's data as token rows: everything encoded once, before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.datasets import DataFile, Dataset, Sample, read_numbered
from core.errors import ErrorCode, UsageError
from workers.train.batches import Rows
from workers.train.encoding import Encoder

_SAY_EVERY_S = 0.5
_EVAL_SEED = 1

Progress = Callable[[float], None]
Numbered = Iterator[tuple[int, Sample]]
"""Samples with the line each begins in."""


@dataclass(frozen=True)
class RunData:
    """Rows to train on, and rows to evaluate on by split."""

    train: Rows
    evals: dict[str, Rows]


def encode_dataset(
    dataset: Dataset, encoder: Encoder, *, eval_max_samples: int, progress: Progress
) -> RunData:
    """Encode all training samples and a fixed choice of each evaluation split.

    `progress` is called a few times a second with 0 to 1 and may raise to end the work.

    Raises:
        UsageError: `data.*` with path and line; `data.nothing_to_train` when no row has a target
            within the length limit.
    """
    total = max(sum(dataset.counts.values()), 1)
    counter = _Counter(total, progress)
    train = Rows()
    for file in dataset.train:
        _add(train, file, counter.count(read_numbered(file)), encoder)
    if not len(train):
        raise UsageError(
            ErrorCode.DATA_NOTHING_TO_TRAIN,
            path=str(dataset.path),
            max_length_tokens=encoder.max_length_tokens,
        )
    evals: dict[str, Rows] = {}
    for split, files in dataset.evals.items():
        rows = _encode_split(files, encoder, eval_max_samples, counter)
        if len(rows):
            evals[split] = rows
    return RunData(train, evals)


def _encode_split(
    files: tuple[DataFile, ...], encoder: Encoder, limit: int, counter: _Counter
) -> Rows:
    rows, start = Rows(), 0
    chosen = choose(sum(file.rows for file in files), limit)
    for file in files:
        samples = counter.count(read_numbered(file))
        picked = (s for i, s in enumerate(samples, start) if i in chosen)
        _add(rows, file, picked, encoder)
        start += file.rows
    return rows


def choose(count: int, limit: int) -> frozenset[int]:
    """At most `limit` of `count` samples, the same ones in every run, so that losses compare."""
    if count <= limit:
        return frozenset(range(count))
    picks = np.random.default_rng([_EVAL_SEED, count]).permutation(count)[:limit]
    return frozenset(int(i) for i in picks)


def _add(rows: Rows, file: DataFile, samples: Numbered, encoder: Encoder) -> None:
    for line, sample in samples:
        try:
            encoded = encoder.encode(sample)
        except Exception as e:
            # A chat template refuses with its own exception, for example a system message.
            if type(e).__module__.partition(".")[0] != "jinja2":
                raise
            detail = f"the model's chat template refuses it: {e}"
            raise UsageError(
                ErrorCode.DATA_BAD_SAMPLE, path=str(file.path), line=line, detail=detail
            ) from e
        for row in encoded:
            rows.add(row)


class _Counter:
    """Counts samples that pass by, and says how far the reading is."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self._done, self._said_at = 0, 0.0

    def count(self, samples: Numbered) -> Numbered:
        for sample in samples:
            self._done += 1
            if (now := time.monotonic()) - self._said_at >= _SAY_EVERY_S:
                self._said_at = now
                self._progress(min(1.0, self._done / self._total))
            yield sample

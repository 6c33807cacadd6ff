"""The run's data as token rows: everything encoded once, before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from core.datasets import DataFile, Dataset, Sample, read_numbered
from core.errors import ErrorCode, UsageError
from workers.train.batches import Rows
from workers.train.encoding import Encoder, Read
from workers.train.findings import Tally
from workers.train.stream import Document, cut

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
    tally: Tally
    """What was found in the training samples."""


Seen = Callable[[Path, int, int, Read], None]
"""Is given file, line, training sample number (-1: dropped) and what was read of each row."""


def encode_dataset(
    dataset: Dataset,
    encoder: Encoder,
    *,
    eval_max_samples: int,
    progress: Progress,
    bounds: bool = False,
    seen: Seen | None = None,
    train_max_samples: int | None = None,
    may_be_empty: bool = False,
) -> RunData:
    """Encode all training samples and a fixed choice of each evaluation split.

    Args:
        dataset: what to read.
        encoder: how; in the stage "pretrain" documents become rows of the full length.
        eval_max_samples: evaluate on at most so many samples of a split.
        progress: is called a few times a second with 0 to 1 and may raise to end the work.
        bounds: keep the documents in rows of the stage "pretrain" apart.
        seen: looks at each training row as it is read; not in the stage "pretrain".
        train_max_samples: read only the first training samples, for a preview.
        may_be_empty: for a preview, which shows why nothing is left to train.

    Raises:
        UsageError: `data.*` with path and line; `data.nothing_to_train` when no row has a target
            within the length limit; `model.template_broken`.
    """
    counter = _Counter(max(sum(dataset.counts.values()), 1), progress)
    tally = Tally(encoder.max_length_tokens)
    reader = _Reader(encoder, tally, bounds, seen)
    train = Rows()
    for file in dataset.train:
        left = None if train_max_samples is None else max(0, train_max_samples - counter.done)
        reader.add(train, file, counter.count(islice(read_numbered(file), left)))
    if not len(train) and not may_be_empty:
        raise UsageError(
            ErrorCode.DATA_NOTHING_TO_TRAIN,
            path=str(dataset.path),
            max_length_tokens=encoder.max_length_tokens,
        )
    evals: dict[str, Rows] = {}
    for split, files in dataset.evals.items():
        quiet = _Reader(encoder, Tally(encoder.max_length_tokens), bounds)
        rows = _encode_split(files, quiet, eval_max_samples, counter)
        if len(rows):
            evals[split] = rows
    return RunData(train, evals, tally)


def _encode_split(
    files: tuple[DataFile, ...], reader: _Reader, limit: int, counter: _Counter
) -> Rows:
    rows, start = Rows(), 0
    chosen = choose(sum(file.rows for file in files), limit)
    for file in files:
        samples = counter.count(read_numbered(file))
        reader.add(rows, file, (s for i, s in enumerate(samples, start) if i in chosen))
        start += file.rows
    return rows


def choose(count: int, limit: int) -> frozenset[int]:
    """At most `limit` of `count` samples, the same ones in every run, so that losses compare."""
    if count <= limit:
        return frozenset(range(count))
    picks = np.random.default_rng([_EVAL_SEED, count]).permutation(count)[:limit]
    return frozenset(int(i) for i in picks)


class _Reader:
    """Encodes the samples of files into rows, and counts what it finds."""

    def __init__(
        self, encoder: Encoder, tally: Tally, bounds: bool, seen: Seen | None = None
    ) -> None:
        self._encoder = encoder
        self._tally = tally
        self._bounds = bounds
        self._seen = seen

    def add(self, rows: Rows, file: DataFile, samples: Numbered) -> None:
        """Add a file's samples to `rows`."""
        if self._encoder.reading.stage == "pretrain":
            documents = self._documents(file, samples)
            length = self._encoder.max_length_tokens
            for row, line in cut(documents, length, bounds=self._bounds):
                rows.add(row, file.path, line)
            return
        for line, sample in samples:
            with _named(file, line):
                reads = self._encoder.read(sample)
            for read in reads:
                self._tally.add(read.whole_tokens, read.codes)
                number = rows.add(read.row, file.path, line)
                if self._seen:
                    self._seen(file.path, line, number, read)

    def _documents(self, file: DataFile, samples: Numbered) -> Iterator[Document]:
        for line, sample in samples:
            with _named(file, line):
                documents = self._encoder.documents(sample)
            for row, codes in documents:
                self._tally.add(len(row), codes)
                yield Document(row, line)


@contextmanager
def _named(file: DataFile, line: int) -> Iterator[None]:
    """Chat templates refuse with exceptions of their own, for example a system message."""
    try:
        yield
    except Exception as e:
        if type(e).__module__.partition(".")[0] != "jinja2":
            raise
        if type(e).__name__ == "TemplateSyntaxError":
            raise UsageError(ErrorCode.MODEL_TEMPLATE_BROKEN, detail=str(e)) from e
        detail = f"the model's chat template refuses it: {e}"
        raise UsageError(
            ErrorCode.DATA_BAD_SAMPLE, path=str(file.path), line=line, detail=detail
        ) from e


class _Counter:
    """Counts samples that pass by, and says how far the reading is."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self.done, self._said_at = 0, 0.0

    def count(self, samples: Numbered) -> Numbered:
        for sample in samples:
            self.done += 1
            if (now := time.monotonic()) - self._said_at >= _SAY_EVERY_S:
                self._said_at = now
                self._progress(min(1.0, self.done / self._total))
            yield sample

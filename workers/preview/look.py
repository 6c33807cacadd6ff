"""From a spec to a preview: the very code that a training reads its data with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config.preview import PreviewSpec
from core.datasets import Dataset, open_dataset
from core.errors import ErrorCode, UsageError
from core.runlog.preview import Histogram, PackingForecast, Preview, PreviewSample
from workers.harness.context import WorkerContext
from workers.preview.modules import adapted_modules
from workers.preview.tokens import show
from workers.train import findings, model
from workers.train.batches import Rows
from workers.train.data import RunData, encode_dataset
from workers.train.data_order import DataOrder, make_order, permutation
from workers.train.encoding import Encoded, Encoder, Read, Reading
from workers.train.interrupts import check
from workers.train.packing import fill

DROPPED_SHOWN = 3
_BINS = 24


def look(ctx: WorkerContext, spec: PreviewSpec) -> Preview:
    """Read the data as a training would, and describe what it gives.

    Raises:
        StopWanted: a stop was asked for meanwhile.
        AppError: `model.*`, `data.*`, `input.bad_value`.
    """
    info = model.inspect(Path(spec.model))
    ctx.reporter.phase("loading_model", detail=info.name)
    tokenizer = model.load_tokenizer(info)
    limit = min(spec.seq_len, info.context_tokens or spec.seq_len)
    encoder = Encoder(tokenizer, limit, Reading.of(spec))
    dataset = open_dataset(Path(spec.data))
    notebook = _Notebook()
    data = _read(ctx, spec, dataset, encoder, notebook)
    check(ctx)
    order = make_order(spec, data.train.lengths, limit)
    view = _View(tokenizer, dataset.path, limit)
    return Preview(
        model=info.name,
        template=_template(encoder),
        samples=[view.sample(data.train, notebook, i) for i in _chosen(spec, data.train, notebook)],
        dropped=[view.dropped(*found) for found in notebook.dropped],
        sample_count=len(data.train),
        dropped_count=data.train.dropped,
        complete=dataset.counts["train"] <= spec.max_samples,
        findings=findings.of_run(spec, data.tally, order),
        limit_tokens=limit,
        packing=_packing(spec, data.train.lengths, limit),
        **_counts(data),
        **adapted_modules(info, spec),
    )


@dataclass
class _Notebook:
    """What was said about rows while they were read."""

    codes: dict[int, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    """By sample number, with the tokens before the cut."""
    dropped: list[tuple[Path, int, Read]] = field(default_factory=list)

    def write(self, file: Path, line: int, number: int, read: Read) -> None:
        """`data.Seen`."""
        if number >= 0:
            self.codes[number] = read.codes, read.whole_tokens
        elif len(self.dropped) < DROPPED_SHOWN:
            self.dropped.append((file, line, read))


def _read(
    ctx: WorkerContext,
    spec: PreviewSpec,
    dataset: Dataset,
    encoder: Encoder,
    notebook: _Notebook,
) -> RunData:
    def progress(fraction: float) -> None:
        check(ctx)
        ctx.reporter.phase("reading_data", fraction)

    ctx.reporter.phase("reading_data")
    return encode_dataset(
        replace(dataset, evals={}),
        encoder,
        eval_max_samples=1,
        progress=progress,
        bounds=spec.packing,
        seen=notebook.write,
        train_max_samples=spec.max_samples,
        may_be_empty=True,
    )


def _template(encoder: Encoder) -> str:
    if not encoder.met_chat:
        return ""
    return "fallback" if encoder.uses_fallback else "own"


def _chosen(spec: PreviewSpec, rows: Rows, notebook: _Notebook) -> list[int]:
    if spec.samples:
        for number in spec.samples:
            if not 0 <= number < len(rows):
                detail = f"0 to {len(rows) - 1}"
                raise UsageError(
                    ErrorCode.BAD_VALUE, field="samples", value=str(number), detail=detail
                )
        return list(spec.samples)
    if spec.pick == "random":
        return [int(i) for i in permutation(spec.seed, 0, len(rows))[: spec.count]]
    if spec.pick == "longest":
        whole = [notebook.codes.get(i, ((), len(row)))[1] for i, row in enumerate(rows.rows)]
        return sorted(range(len(rows)), key=whole.__getitem__, reverse=True)[: spec.count]
    return list(range(min(spec.count, len(rows))))


@dataclass(frozen=True)
class _View:
    """Shows rows."""

    tokenizer: Any
    folder: Path
    limit_tokens: int

    def sample(self, rows: Rows, notebook: _Notebook, number: int) -> PreviewSample:
        """A training sample."""
        codes, whole = notebook.codes.get(number, ((), 0))
        return self._shown(number, *rows.source(number), rows[number], codes, whole)

    def dropped(self, file: Path, line: int, read: Read) -> PreviewSample:
        """One that has nothing to learn from."""
        return self._shown(-1, file, line, read.row, read.codes, read.whole_tokens)

    def _shown(
        self, number: int, file: Path, line: int, row: Encoded, codes: tuple[str, ...], whole: int
    ) -> PreviewSample:
        inside = self.folder.is_dir() and file.is_relative_to(self.folder)
        return PreviewSample(
            sample=number,
            file=str(file.relative_to(self.folder)) if inside else file.name,
            line=line,
            tokens=len(row),
            target_tokens=row.target_tokens,
            pieces=show(self.tokenizer, row),
            findings=findings.about_one(codes, whole, self.limit_tokens),
        )


def _counts(data: RunData) -> dict[str, Any]:
    lengths = np.asarray(data.tally.lengths, np.int64)
    tokens = int(data.train.lengths.sum())
    targets = sum(row.target_tokens for row in data.train.rows)
    return {
        "total_tokens": tokens,
        "target_tokens": targets,
        "trained_share": targets / max(1, tokens),
        "longest_tokens": int(lengths.max(initial=0)),
        "cut_count": data.tally.codes[findings.CUT],
        "lengths": histogram(lengths),
    }


def histogram(lengths: NDArray[np.int64]) -> Histogram:
    """At most `_BINS` bins of one width, which is 1, 2 or 5 times a power of ten."""
    longest = int(lengths.max(initial=1))
    width = next(
        step * 10**power
        for power in range(10)
        for step in (1, 2, 5)
        if step * 10**power * _BINS > longest
    )
    edges = np.arange(0, longest + width + 1, width)
    counts, _ = np.histogram(lengths, edges)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def _packing(spec: PreviewSpec, lengths: NDArray[np.int64], limit: int) -> PackingForecast:
    """Of both layouts, whatever the spec asks for: so that they can be compared."""
    if spec.stage == "pretrain":
        share = fill(lengths, len(lengths), limit)
        return PackingForecast(rows=len(lengths), share=share, share_padded=share)
    rows = DataOrder(len(lengths), spec.seed, lengths, limit).rows_in(0)
    return PackingForecast(
        rows=rows,
        share=fill(lengths, rows, limit),
        share_padded=_padded_share(lengths, spec.per_device_train_batch_size, spec.seed),
    )


def _padded_share(lengths: NDArray[np.int64], batch_size: int, seed: int) -> float:
    """Tokens among the places of micro-batches in random order, padded to their longest."""
    shuffled = lengths[permutation(seed, 0, len(lengths))]
    groups = [shuffled[i : i + batch_size] for i in range(0, len(shuffled), batch_size)]
    places = sum(int(group.max()) * len(group) for group in groups)
    return float(lengths.sum()) / max(1, places)

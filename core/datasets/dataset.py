"""A dataset: one file, or a folder in the layout `train/{domain_specific,general}`,
`eval/{accuracy,robustness}`. Opening one counts its rows; it never holds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from core.datasets.forms import (
    BadColumnsError,
    BadSampleError,
    SampleForm,
    columns_found,
    detect_form,
    parse_row,
)
from core.datasets.holdout import choose_held_out
from core.datasets.rows import (
    SUFFIXES,
    BadRow,
    Layout,
    Row,
    count_rows,
    detect_layout,
    iterate_rows,
)
from core.datasets.sample import Sample
from core.errors import ErrorCode, UsageError

Part = Literal["all", "kept", "held_out"]
_ABOUT_FILES = {"dataset.json", "dataset_info.json", "dataset_infos.json", "metadata.json"}
_EVAL_NAME = re.compile(r"^(eval|evaluation|test|valid|validation|val|dev|held_out)([-_.\d].*)?$")


@dataclass(frozen=True)
class DataFile:
    """One file, or the part of it that is left when rows are held out for evaluation."""

    path: Path
    layout: Layout
    form: SampleForm
    rows: int
    """Samples of this part."""
    size_bytes: int
    category: str = ""
    """Folder below the split: domain_specific, general, accuracy, robustness, or empty."""
    part: Part = "all"
    held_out: frozenset[int] = frozenset()
    """Indices of the rows set aside, when `part` is not "all"."""

    def takes(self, index: int) -> bool:
        """Whether the row at `index` (from 0) belongs to this part."""
        return self.part == "all" or (index in self.held_out) == (self.part == "held_out")


@dataclass(frozen=True)
class Dataset:
    """What to train on and what to evaluate on."""

    path: Path
    name: str
    train: tuple[DataFile, ...]
    evals: dict[str, tuple[DataFile, ...]]
    """By split: accuracy, robustness, eval; or held_out, when rows were set aside."""
    licence: str = ""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Samples by split; the training split is called "train"."""
        found = {"train": sum(file.rows for file in self.train)}
        return found | {k: sum(f.rows for f in files) for k, files in self.evals.items()}

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        files = {f.path: f.size_bytes for f in self.files}
        return sum(files.values())

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Every file part of every split."""
        return (*self.train, *(f for files in self.evals.values() for f in files))


def open_dataset(path: Path) -> Dataset:
    """Find the files, detect the form of each by its first row, and count.

    A file, or a folder without evaluation files, gets a held-out split of 5 %.

    Raises:
        UsageError: `data.not_found`, `data.empty`, `data.unknown_format`, `data.not_utf8`,
            `data.bad_json` or `data.bad_columns`.
    """
    if not path.exists():
        raise UsageError(ErrorCode.DATA_NOT_FOUND, path=str(path))
    train, evals = _find_files(path)
    if not train:
        code = ErrorCode.DATA_EMPTY if path.is_dir() else ErrorCode.DATA_UNKNOWN_FORMAT
        raise UsageError(code, path=str(path))
    if not evals:
        train, evals = _hold_out(train)
    about = _about(path)
    name = path.stem if path.is_file() else path.name
    return Dataset(path, name, train, evals, str(about.get("license", about.get("licence", ""))))


def read_samples(file: DataFile) -> Iterator[Sample]:
    """Every sample of a file part, in order.

    Raises:
        UsageError: `data.*` with path and line for the first row that cannot be used.
    """
    return (sample for _, sample in read_numbered(file))


def read_numbered(file: DataFile) -> Iterator[tuple[int, Sample]]:
    """As `read_samples`, with the line each sample begins in."""
    for line, item in _read(file):
        if isinstance(item, UsageError):
            raise item
        yield line, item


def read_checked(file: DataFile) -> Iterator[Sample | UsageError]:
    """As `read_samples`, but bad rows come as values, so that many can be listed."""
    return (item for _, item in _read(file))


def _read(file: DataFile) -> Iterator[tuple[int, Sample | UsageError]]:
    for index, row in enumerate(iterate_rows(file.path, file.layout)):
        if isinstance(row, BadRow):
            yield row.line, row.error
        elif file.takes(index):
            yield row.line, _sample_or_error(file, row)


def _sample_or_error(file: DataFile, row: Row) -> Sample | UsageError:
    path, line = str(file.path), row.line
    try:
        return parse_row(file.form, row.value)
    except BadColumnsError as e:
        return UsageError(ErrorCode.DATA_BAD_COLUMNS, path=path, line=line, found=str(e))
    except BadSampleError as e:
        return UsageError(ErrorCode.DATA_BAD_SAMPLE, path=path, line=line, detail=str(e))


def _find_files(path: Path) -> tuple[tuple[DataFile, ...], dict[str, tuple[DataFile, ...]]]:
    if path.is_file():
        return (_open_file(path),), {}
    if (path / "train").is_dir():
        train = _open_all(path / "train")
        return train, _by_split(_open_all(path / "eval") if (path / "eval").is_dir() else ())
    flat = [_open_file(file) for file in _data_files(path.iterdir())]
    evals = tuple(file for file in flat if _EVAL_NAME.match(file.path.stem.lower()))
    return tuple(file for file in flat if file not in evals), _by_split(evals)


def _open_all(folder: Path) -> tuple[DataFile, ...]:
    found = []
    for file in _data_files(folder.rglob("*")):
        inner = file.relative_to(folder).parts
        found.append(_open_file(file, inner[0] if len(inner) > 1 else ""))
    return tuple(found)


def _data_files(found: Iterable[Path]) -> list[Path]:
    return sorted(
        file
        for file in found
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and file.name not in _ABOUT_FILES
        and not file.name.startswith(".")
    )


def _by_split(files: Iterable[DataFile]) -> dict[str, tuple[DataFile, ...]]:
    splits: dict[str, tuple[DataFile, ...]] = {}
    for file in files:
        split = file.category or "eval"
        splits[split] = (*splits.get(split, ()), file)
    return splits


def _open_file(path: Path, category: str = "") -> DataFile:
    layout = detect_layout(path)
    form = _form_of(path, layout)
    return DataFile(
        path, layout, form, count_rows(path, layout), path.stat().st_size, category=category
    )


def _form_of(path: Path, layout: Layout) -> SampleForm:
    first = next(iterate_rows(path, layout), None)
    if first is None:
        raise UsageError(ErrorCode.DATA_EMPTY, path=str(path))
    if isinstance(first, BadRow):
        raise first.error
    form = detect_form(first.value)
    if form is None:
        found = columns_found(first.value)
        raise UsageError(ErrorCode.DATA_BAD_COLUMNS, path=str(path), line=first.line, found=found)
    return form


def _hold_out(
    files: tuple[DataFile, ...],
) -> tuple[tuple[DataFile, ...], dict[str, tuple[DataFile, ...]]]:
    chosen = choose_held_out([file.rows for file in files])
    kept: list[DataFile] = []
    aside: list[DataFile] = []
    for file, rows in zip(files, chosen, strict=True):
        if not rows:
            kept.append(file)
            continue
        kept.append(replace(file, rows=file.rows - len(rows), part="kept", held_out=rows))
        aside.append(replace(file, rows=len(rows), part="held_out", held_out=rows))
    return tuple(f for f in kept if f.rows), {"held_out": tuple(aside)} if aside else {}


def _about(path: Path) -> dict[str, object]:
    file = path / "dataset.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a note for people; the data themselves are checked row by row
    return found if isinstance(found, dict) else {}

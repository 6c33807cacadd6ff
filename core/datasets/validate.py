"""Read data before a run is started, and name what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from core.datasets.dataset import DataFile, Dataset, read_checked
from core.errors import ErrorCode, ErrorInfo, UsageError

MAX_PROBLEMS = 20
MAX_ROWS_A_FILE = 50_000
"""About a second of reading. The worker reads the rest, and names the line just as well."""


@dataclass(frozen=True)
class DataReport:
    """What a check found."""

    problems: tuple[ErrorInfo, ...]
    """At most `MAX_PROBLEMS`, in the order of files and lines."""
    rows_checked: int
    complete: bool
    """False when files were longer than what was read, or problems cut the reading short."""


def validate(dataset: Dataset, *, max_rows_a_file: int = MAX_ROWS_A_FILE) -> DataReport:
    """Check every row, up to `max_rows_a_file` of each file. Raises nothing for bad data."""
    problems: list[ErrorInfo] = []
    checked, complete = 0, True
    for file in dataset.files:
        rows, whole = _check_file(file, problems, max_rows_a_file)
        checked, complete = checked + rows, complete and whole
        if len(problems) >= MAX_PROBLEMS:
            complete = False
            break
    if not any(file.rows for file in dataset.train):
        problems.append(
            UsageError(
                ErrorCode.DATA_NOTHING_TO_TRAIN, path=str(dataset.path), max_length_tokens=0
            ).info
        )
    return DataReport(tuple(problems), checked, complete)


def _check_file(file: DataFile, problems: list[ErrorInfo], limit: int) -> tuple[int, bool]:
    """Rows read, and whether that was all. A line in both parts of a file is named once."""
    rows = 0
    for item in read_checked(file):
        if rows >= limit or len(problems) >= MAX_PROBLEMS:
            return rows, False
        rows += 1
        if isinstance(item, UsageError) and item.info not in problems:
            problems.append(item.info)
    return rows, True

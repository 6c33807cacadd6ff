"""The full data of a run as CSV: every step, not what a plot shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from core import atomic_io
from core.protocol.events import EvalDone, Event, RunStarted, ServeRequest, TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.tail import LogTail

_ENVELOPE = ("v", "run_id", "seq", "kind", "in_reply_to", "monotonic_s")


def write_csv(run: RunDir, folder: Path) -> Path:
    """Write `<run_id>-steps.csv`, and evaluations and requests beside it where there are any.

    Steps behind the checkpoint of a later resume are left out, as in the plots.

    Returns:
        The path of the steps' file; of the requests' file for a server.

    Raises:
        AppError: `disk.full` or `folder.read_only`; files that are there stay as they were.
    """
    steps, evals, requests = _collect(run)
    first = _write(folder / f"{run.run_id}-steps.csv", TrainStep, steps)
    if evals:
        _write(folder / f"{run.run_id}-evals.csv", EvalDone, evals)
    if requests:
        return _write(folder / f"{run.run_id}-requests.csv", ServeRequest, requests)
    return first


def all_events(run: RunDir) -> Iterator[Event]:
    """Every readable event of a run, in order."""
    tail = LogTail(run.events)
    at_end = False
    while not at_end:
        found = tail.read(1024 * 1024)
        at_end = found.at_end
        yield from found.events


def _collect(run: RunDir) -> tuple[list[Event], list[Event], list[Event]]:
    steps: list[Event] = []
    evals: list[Event] = []
    requests: list[Event] = []
    for event in all_events(run):
        match event:
            case TrainStep():
                steps.append(event)
            case EvalDone():
                evals.append(event)
            case ServeRequest():
                requests.append(event)
            case RunStarted(resumed_from_step=int(step)):
                steps = [s for s in steps if isinstance(s, TrainStep) and s.step <= step]
                evals = [e for e in evals if isinstance(e, EvalDone) and e.step <= step]
    return steps, evals, requests


def _write(path: Path, kind: type[Event], events: list[Event]) -> Path:
    columns = [name for name in kind.model_fields if name not in _ENVELOPE]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(event, name) for name in columns] for event in events)
    atomic_io.write_text(path, text.getvalue())
    return path

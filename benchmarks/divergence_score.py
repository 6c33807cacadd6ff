"""Replays curves through the detectors and counts what they found."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.divergence import Detectors, DetectorSettings, codes
from core.protocol.events import AlarmRaised, TrainStep

DIVERGENCE = frozenset(
    {codes.DIVERGING, codes.LEVEL_SHIFT, codes.NON_FINITE, codes.NON_FINITE_REPEATED}
)
"""Alarms that say that a run went wrong; marks and warnings of other kinds do not count."""
ROLLS_BACK = frozenset({codes.DIVERGING, codes.NON_FINITE_REPEATED})
FAULT_RISE_NATS = 0.25


@dataclass
class Row:
    """Counts of one kind of run."""

    runs: int = 0
    faulty: int = 0
    found: int = 0
    false_alarms: int = 0
    would_roll_back: int = 0
    asked: int = 0
    delays: list[int] = field(default_factory=list)


def replay(
    loss: np.ndarray,
    grad_norm: np.ndarray,
    target_tokens: np.ndarray,
    settings: DetectorSettings,
) -> list[AlarmRaised]:
    """All alarms of a curve."""
    detectors = Detectors(settings)
    alarms = []
    for i, (x, norm, tokens) in enumerate(zip(loss, grad_norm, target_tokens, strict=True)):
        step = TrainStep(
            step=i + 1, loss=x, grad_norm=norm, target_tokens=int(tokens), step_time_s=0.1
        )
        alarms += [a for a in detectors.observe(step) if isinstance(a, AlarmRaised)]
    return alarms


def went_wrong(loss: np.ndarray, fault_at: int) -> bool:
    """Not finite, or the last 40 losses 0.25 nats over the 40 before the event."""
    if not np.isfinite(loss).all():
        return True
    before = loss[max(0, fault_at - 40) : fault_at] if fault_at else loss[:10]
    return bool(loss[-40:].mean() > before.mean() + FAULT_RISE_NATS)


def count(
    row: Row, alarms: Sequence[AlarmRaised], fault_at: int, faulty: bool, wanted: frozenset[str]
) -> None:
    """Add one run to its row; an alarm before the fault is a false one."""
    told = [a for a in alarms if a.alarm in DIVERGENCE | wanted]
    right = [a for a in told if faulty and a.step > fault_at and a.alarm in wanted]
    wrong = [a for a in told if not faulty or a.step <= fault_at]
    row.runs += 1
    row.faulty += faulty
    row.found += bool(right)
    row.false_alarms += bool(wrong)
    row.would_roll_back += any(a.alarm in ROLLS_BACK for a in told)
    row.asked += any(a.alarm == codes.LEVEL_SHIFT for a in told)
    if right:
        row.delays.append(right[0].step - fault_at - 1)


def table(rows: dict[str, Row]) -> str:
    """A Markdown table and the sums under it."""
    lines = [
        "| kind | runs | went wrong | found | false alarms | would roll back | asks | delay |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, r in rows.items():
        delay = f"{statistics.median(r.delays):.0f}" if r.delays else ""
        cells = (r.runs, r.faulty, r.found, r.false_alarms, r.would_roll_back, r.asked, delay)
        lines.append("| " + " | ".join([kind.replace("_", " "), *map(str, cells)]) + " |")
    return "\n".join([*lines, "", summary(rows.values())])


def summary(rows: Iterable[Row]) -> str:
    """Precision, recall and delay over all rows."""
    kept = list(rows)
    found, faulty = sum(r.found for r in kept), sum(r.faulty for r in kept)
    false = sum(r.false_alarms for r in kept)
    delays = [d for r in kept for d in r.delays]
    return (
        f"recall {found}/{faulty} = {found / max(faulty, 1):.3f}, "
        f"precision {found}/{found + false} = {found / max(found + false, 1):.3f}, "
        f"median delay {statistics.median(delays) if delays else 0:.1f} steps"
    )


def new_rows() -> dict[str, Row]:
    """Rows by kind, made when first asked for."""
    return defaultdict(Row)

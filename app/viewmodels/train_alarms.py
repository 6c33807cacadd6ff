"""What can be told and done about an alarm, without widgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

from core.protocol.events import AlarmRaised, RolledBack
from core.runlog.evidence import EvidenceSample
from core.runlog.state import RunState
from core.supervisor import RunView

Remedy = Literal["exclude", "roll_back", "lower_rate", "continue", "stop"]

LR_CUT = 3.0
"""A third, as the guide takes 3e-5 to 1e-5."""
_OUTLIER_RATIO = 2.0
_MOST_SUSPECTS_SHARE = 0.25


def remedies(view: RunView, *, waiting: bool) -> tuple[Remedy, ...]:
    """What the worker can be asked for now, in the order of the buttons.

    Args:
        view: the run.
        waiting: the worker has not answered the last wish yet.
    """
    if not can_act(view) or waiting:
        return ()
    found: list[Remedy] = ["exclude", "roll_back", "lower_rate"]
    return (*found, *(("continue",) if is_paused(view) else ()), "stop")


def can_act(view: RunView) -> bool:
    """The worker trains or holds, and nobody stops it."""
    if not view.alive or view.stopping or view.finished:
        return False
    return is_paused(view) or view.state.phase in ("training", "evaluating", "saving")


def is_paused(view: RunView) -> bool:
    """The worker holds: somebody asked, or the guard did."""
    return view.alive and (view.state.paused or view.state.phase == "paused")


def asking_alarm(view: RunView) -> AlarmRaised | None:
    """The alarm that paused the run and waits for an answer."""
    if not is_paused(view):
        return None
    state = view.state
    done = state.step.step if state.step else 0
    asked = (a for a in reversed(state.alarms) if a.action == "pause" and a.step >= done)
    return next(asked, None)


def rollback_of(alarm: AlarmRaised, state: RunState) -> RolledBack | None:
    """The rollback that this alarm caused."""
    if alarm.action != "rollback":
        return None
    found = (r for r in state.rollbacks if r.alarm == alarm.alarm and r.step >= alarm.step)
    return min(found, key=lambda r: r.step, default=None)


def suspects(samples: Sequence[EvidenceSample]) -> list[int]:
    """Samples that stand out: a loss that is no number, or twice the median and among the few.

    A batch that is bad as a whole has no suspects: taking all of it out would hide the cause.
    """
    broken = [s.sample for s in samples if s.loss is not None and not math.isfinite(s.loss)]
    losses = [s.loss for s in samples if s.loss is not None and math.isfinite(s.loss)]
    if len(losses) < 3:
        return broken
    line = _OUTLIER_RATIO * median(losses)
    high = [s.sample for s in samples if s.loss is not None and line < s.loss < math.inf]
    if len(high) > max(1, _MOST_SUSPECTS_SHARE * len(samples)):
        high = []
    return [*broken, *high]


def scale_text(scale: float) -> str:
    """A factor of the learning rate: 1/3, 1/9, 0.4, 2."""
    parts = 1 / scale if scale > 0 else 0.0
    if 1.5 < parts < 1000 and abs(parts - round(parts)) < 0.01 * parts:
        return f"1/{round(parts)}"
    return f"{scale:.3g}"


def loss_share(sample: EvidenceSample, samples: Sequence[EvidenceSample]) -> float:
    """Length of a sample's loss bar, 0 to 1 of the highest finite loss; a full one for NaN."""
    if sample.loss is None:
        return 0.0
    finite = [s.loss for s in samples if s.loss is not None and math.isfinite(s.loss)]
    highest = max(finite, default=0.0)
    if not math.isfinite(sample.loss):
        return 1.0
    return sample.loss / highest if highest > 0 else 0.0

"""Where a run goes: its learning rate, and what a rollback makes of its state. No torch here.

The rate of a step is `scale x schedule(step) x share of a re-warm-up`, computed and never stepped:
a pure function of the state, so that resume, rollback and a change by hand cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import asdict

from core.divergence.policy import Rollback, lr_share
from workers.train.checkpoint import TrainerState
from workers.train.schedule import Schedule

HIGHEST_RATE = 1.0
"""As in the spec: a peak above it is a slip of the hand."""


def learning_rate(state: TrainerState, schedule: Schedule) -> float:
    """Of the step that follows `state`."""
    by_hand = schedule.learning_rate(state.step) * state.lr_scale
    return by_hand / state.lr_divisor * _rewarm_share(state)


def lr_scale(state: TrainerState) -> float:
    """What the schedule's rate is multiplied by, without the re-warm-up, which passes."""
    return state.lr_scale / state.lr_divisor


def set_lr_scale(state: TrainerState, scale: float) -> None:
    """By hand; what rollbacks had divided is the user's to decide again."""
    state.lr_scale, state.lr_divisor = scale, 1.0


def refuse_scale(scale: float, schedule: Schedule) -> str:
    """Why this scale cannot be; empty when it can."""
    usable = math.isfinite(scale) and scale > 0 and scale * schedule.peak <= HIGHEST_RATE
    return "" if usable else "out_of_range"


def rollbacks(state: TrainerState) -> list[Rollback]:
    """What was rolled back so far, oldest first."""
    return [Rollback(**values) for values in state.rollbacks]


def rolled_back(
    now: TrainerState, then: TrainerState, alarm: str, *, lr_divisor: float, rewarm_steps: int
) -> TrainerState:
    """The state to go on with: `then`'s, but past the data that `now` had seen, and slower.

    What is divided is the smaller of both rates: the one that `then` was healthy with, or one that
    was lowered since.
    """
    done = Rollback(alarm=alarm, at_step=now.step, to_step=then.step)
    slower = min(now, then, key=lr_scale)
    return then.model_copy(
        deep=True,
        update={
            "data_offset": now.consumed_samples + now.data_offset - then.consumed_samples,
            "excluded": list(now.excluded),
            "lr_scale": slower.lr_scale,
            "lr_divisor": slower.lr_divisor * lr_divisor,
            "rollbacks": [*now.rollbacks, asdict(done)],
            "rewarm_steps": rewarm_steps,
            "skipped_in_a_row": 0,
        },
    )


def _rewarm_share(state: TrainerState) -> float:
    if not state.rollbacks:
        return 1.0
    return lr_share(state.step - int(state.rollbacks[-1]["to_step"]), state.rewarm_steps)

"""What to do about an alarm: pure functions from what is known to one decision.

The course is PaLM's (https://arxiv.org/abs/2204.02311, section 5.1: go back to about 100 steps
before a spike and skip the batches that saw it; the same data did no harm from another state),
with a cut of the learning rate. A decision says what to do; the worker does it.

An alarm never does more than its ceiling, whatever the user allows: a loss curve cannot tell a
change of data from divergence, so `level_shift` asks; one odd batch is a mark. Soon after a
rollback the loss has left its level again on other data: then it was not the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.divergence import codes
from core.protocol.events import AlarmRaised

Guard = Literal["mark", "notify", "save", "pause", "rollback"]
"""How far the user lets automation go, and what a decision does; each includes the ones before.

mark: a mark on the plots. notify: say it. save: keep the newest healthy state on disk, go on.
pause: stop stepping, keep everything, ask. rollback: go back and on with a lower rate.
"""
Reason = Literal["as_chosen", "alarm_only_warns", "no_snapshot", "rollbacks_spent"]
"""Why a decision is what it is; the window has a sentence for each."""

GUARDS: tuple[Guard, ...] = ("mark", "notify", "save", "pause", "rollback")

CEILINGS: dict[str, Guard] = {
    codes.DIVERGING: "rollback",
    codes.NON_FINITE_REPEATED: "rollback",
    codes.LEVEL_SHIFT: "pause",
    codes.LOSS_ZERO_OR_CONSTANT: "pause",
    codes.MEMORY_CREEP: "save",
    codes.GRAD_NORM_SPIKE: "mark",
    codes.LOSS_SPIKE: "mark",
}
"""The most that an alarm may do; an alarm that is not listed only notifies."""


@dataclass(frozen=True)
class PolicySettings:
    """How a rollback is done."""

    max_rollbacks: int = 3
    """After so many the run pauses and asks."""
    lr_factor: float = 1 / 3
    """3e-5 becomes 1e-5."""
    margin_steps: int = 10
    """A healthy snapshot is older than the first suspect step by more than this."""
    rewarm_steps: int = 20
    """The rate rises linearly for so many steps after a rollback."""
    repeat_steps: int = 100
    """A `level_shift` so soon after a rollback is no change of data: that data was left out."""


@dataclass(frozen=True)
class Rollback:
    """One rollback that was done; `Rollback(**asdict(r))` brings it back from JSON."""

    alarm: str
    at_step: int
    """The step after which it was decided."""
    to_step: int


@dataclass(frozen=True)
class Decision:
    """What to do about an alarm.

    The fields of the rollback are filled whenever one is possible, also when `action` is less:
    then they are the offer that the window makes ("back to step 120 with 1e-5").
    """

    action: Guard
    alarm: str
    at_step: int
    reason: Reason = "as_chosen"
    to_step: int | None = None
    """Steps done in the snapshot to restore; None when there is no healthy one."""
    lr_factor: float = 1.0
    """Multiply the scale of the rate by this; the schedule's position is not touched."""
    skip_from_step: int | None = None
    """First step whose data is left out after the rollback ..."""
    skip_to_step: int | None = None
    """... and the last: in effect the data cursor stays where it was at the alarm."""
    rewarm_steps: int = 0

    @property
    def can_roll_back(self) -> bool:
        """Whether the user can be offered a rollback."""
        return self.to_step is not None


def decide(
    alarms: Iterable[AlarmRaised],
    guard: Guard,
    *,
    rollbacks: Sequence[Rollback] = (),
    snapshots: Sequence[int] = (),
    first_suspect_step: int | None = None,
    settings: PolicySettings | None = None,
) -> Decision | None:
    """The strongest decision that these alarms of one step call for.

    Args:
        alarms: raised at this step; without any there is nothing to decide.
        guard: how far the user lets automation go.
        rollbacks: what was rolled back in this run so far.
        snapshots: steps done at each snapshot that can be restored, in any order.
        first_suspect_step: `Detectors.first_suspect_step`: where the trouble began; the alarm's
            own step when None.
        settings: how a rollback is done.
    """
    how = settings or PolicySettings()
    found = [_decide_one(a, guard, rollbacks, snapshots, first_suspect_step, how) for a in alarms]
    return max(found, key=lambda d: GUARDS.index(d.action), default=None)


def healthy_snapshot(
    snapshots: Sequence[int], first_suspect_step: int, margin_steps: int = 10
) -> int | None:
    """The newest snapshot that is older than the trouble by more than `margin_steps`.

    The level of the loss is a running mean and lags behind the fault, so a snapshot from shortly
    before the first suspect step may already be ill.
    """
    return max((s for s in snapshots if s < first_suspect_step - margin_steps), default=None)


def surviving_snapshots(snapshots: Iterable[int], to_step: int) -> list[int]:
    """The snapshots that are still of this run after a rollback to `to_step`."""
    return sorted(s for s in snapshots if s <= to_step)


def lr_share(steps_since_rollback: int, rewarm_steps: int = PolicySettings.rewarm_steps) -> float:
    """Share of the rate for the next step: linear from 1 / `rewarm_steps` to 1.

    Args:
        steps_since_rollback: steps done since then, so 0 for the first one after it.
        rewarm_steps: of the decision; 0 for none.
    """
    return min(1.0, (steps_since_rollback + 1) / rewarm_steps) if rewarm_steps else 1.0


def _decide_one(
    alarm: AlarmRaised,
    guard: Guard,
    rollbacks: Sequence[Rollback],
    snapshots: Sequence[int],
    first_suspect_step: int | None,
    settings: PolicySettings,
) -> Decision:
    ceiling = _ceiling(alarm, rollbacks, settings)
    action = min(guard, ceiling, key=GUARDS.index)
    reason: Reason = "as_chosen" if action == guard else "alarm_only_warns"
    if ceiling != "rollback":
        return Decision(action, alarm.alarm, alarm.step, reason)
    since = alarm.step if first_suspect_step is None else first_suspect_step
    to_step = healthy_snapshot(snapshots, since, settings.margin_steps)
    if action == "rollback" and to_step is None:
        action, reason = "pause", "no_snapshot"
    if action == "rollback" and len(rollbacks) >= settings.max_rollbacks:
        action, reason = "pause", "rollbacks_spent"
    return _with_offer(Decision(action, alarm.alarm, alarm.step, reason), to_step, settings)


def _ceiling(alarm: AlarmRaised, rollbacks: Sequence[Rollback], settings: PolicySettings) -> Guard:
    ceiling = CEILINGS.get(alarm.alarm, "notify")
    if alarm.alarm != codes.LEVEL_SHIFT or not rollbacks:
        return ceiling
    soon = alarm.step - rollbacks[-1].to_step <= settings.repeat_steps
    return "rollback" if soon else ceiling


def _with_offer(decision: Decision, to_step: int | None, settings: PolicySettings) -> Decision:
    if to_step is None:
        return decision
    return Decision(
        decision.action,
        decision.alarm,
        decision.at_step,
        decision.reason,
        to_step=to_step,
        lr_factor=settings.lr_factor,
        skip_from_step=to_step + 1,
        skip_to_step=decision.at_step,
        rewarm_steps=settings.rewarm_steps,
    )

"""What an alarm leads to: the detectors' alarms, the policy's decision, and its deed.

How far it goes is the user's choice (`TrainSpec.guard`). A rollback restores the newest healthy
state, divides the rate, and goes on behind the data that led astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.config.train import TrainSpec
from core.divergence.policy import GUARDS, Decision, PolicySettings, decide, healthy_snapshot
from core.protocol.events import (
    AlarmCleared,
    AlarmRaised,
    LearningRateChanged,
    RolledBack,
    TrainStep,
)
from workers.harness.context import WorkerContext
from workers.harness.reporter import Reporter
from workers.train import checkpoint, course, random_state
from workers.train.feed import Fed
from workers.train.parts import Parts
from workers.train.snapshots import Snapshot, Snapshots, affordable
from workers.train.stall_watch import StallWatch

if TYPE_CHECKING:
    from workers.train.evidence import Evidence

BY_USER = "user"
"""Stands for the alarm of a rollback that a person asked for."""


def say(reporter: Reporter, spec: TrainSpec, alarm: AlarmRaised | AlarmCleared) -> None:
    """Say an alarm that calls for no deed, such as a stall: at most it notifies."""
    if isinstance(alarm, AlarmRaised):
        decision = decide([alarm], spec.guard)
        alarm = alarm.model_copy(update={"action": decision.action if decision else "mark"})
    reporter.emit(alarm)


class Guard:
    """Looks at every step of one run.

    Args:
        ctx: where alarms are said and decisions are shared.
        parts: of the run; its state is replaced by a rollback.
        watch: holds the detectors.
        evidence: finds out which samples did it.
    """

    def __init__(
        self, ctx: WorkerContext, parts: Parts, watch: StallWatch, evidence: Evidence
    ) -> None:
        self._ctx = ctx
        self._parts = parts
        self._watch = watch
        self._evidence = evidence
        how = parts.spec.rollback
        trainable = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
        keep = ctx.team.share(affordable(trainable, how.snapshots))
        self._snapshots = Snapshots(
            ctx.run, keep=keep, every_steps=how.snapshot_steps, team=ctx.team
        )
        self._settings = PolicySettings(
            max_rollbacks=how.max_rollbacks, rewarm_steps=how.rewarm_steps
        )
        self.paused = False
        """A person has to say how to go on."""

    def begin(self) -> None:
        """Keep the state that the run starts or goes on from."""
        if self._snapshots.in_memory:
            self._keep()

    def look(self, event: TrainStep, fed: Fed) -> None:
        """Deal with a step that was just made."""
        self._evidence.remember(event, fed)
        self.deal(self._watch.observe(event), event)
        step = self._parts.state.step
        if self._snapshots.wants(step) and not self._parts.detectors.suspicious:
            self._keep()

    def deal(self, alarms: Sequence[AlarmRaised], event: TrainStep) -> None:
        """Say the alarms with what was found about them, then do what they call for.

        The batch is looked at before anything is restored: with the weights of that moment.
        """
        # What a detector saw of one process's clock or memory must lead all the same way.
        heard = self._ctx.team.share(list(alarms))
        decided = [(alarm, d) for alarm in heard if (d := self._decide(alarm)) is not None]
        if not decided:
            return
        for alarm, decision in decided:
            self._ctx.reporter.emit(self._explained(alarm, decision, event))
        self._do(max((d for _, d in decided), key=lambda d: GUARDS.index(d.action)))

    def roll_back_by_hand(self) -> bool:
        """Do it because a person says so; false when there is no healthy state."""
        to_step = self._newest_healthy()
        return to_step is not None and self._roll_back(to_step, BY_USER)

    def complete(self) -> None:
        """Write into the run's state what the detectors and the scaler know."""
        parts = self._parts
        parts.state.detectors = parts.detectors.state()
        parts.state.scaler = parts.scaler.state_dict() if parts.scaler else {}

    def _decide(self, alarm: AlarmRaised) -> Decision | None:
        return decide(
            [alarm],
            self._parts.spec.guard,
            rollbacks=course.rollbacks(self._parts.state),
            snapshots=self._snapshots.steps,
            first_suspect_step=self._parts.detectors.first_suspect_step,
            settings=self._settings,
        )

    def _explained(self, alarm: AlarmRaised, decision: Decision, event: TrainStep) -> AlarmRaised:
        found = self._evidence.of(alarm, event)
        return alarm.model_copy(
            update={
                "evidence": found.file,
                "diagnosis": found.diagnosis,
                "action": decision.action,
                "reason": decision.reason,
                "can_go_back_to": decision.to_step,
            }
        )

    def _do(self, decision: Decision) -> None:
        if decision.action == "rollback" and decision.to_step is not None:
            if self._roll_back(decision.to_step, decision.alarm):
                return
            self._say_no_way_back(decision)
        if decision.action in ("save", "pause"):
            self._save_healthy()
        self.paused = self.paused or decision.action == "pause"

    def _say_no_way_back(self, decision: Decision) -> None:
        """The healthy state turned out to be damaged: a person must see."""
        self.paused = True
        self._ctx.reporter.emit(
            AlarmRaised(
                alarm=decision.alarm,
                severity="error",
                step=decision.at_step,
                action="pause",
                reason="no_snapshot",
            )
        )

    def _save_healthy(self) -> None:
        """Keep the newest healthy state on disk, also when it grows old."""
        step, state = self._newest_healthy(), self._parts.state
        found = None if step is None else self._snapshots.find(step)
        if step is None or found is None:
            return
        state.protected = [step]
        if found.source == "memory":
            self._parts.saver.older(found.contents, state)

    def _newest_healthy(self) -> int | None:
        suspect = self._parts.detectors.first_suspect_step
        steps, state = self._snapshots.steps, self._parts.state
        if suspect is None:  # no detector counts: all but the state of now will do
            return max((s for s in steps if s < state.step), default=None)
        return healthy_snapshot(steps, suspect, self._settings.margin_steps)

    def _roll_back(self, to_step: int, alarm: str) -> bool:
        found = self._snapshots.find(to_step)
        if found is None:
            return False
        self._watch.rest()
        self._ctx.reporter.phase("rolling_back")
        at_step = self._parts.state.step
        passed = self._restore(found, alarm)
        self._snapshots.drop_after(to_step)
        self._say(at_step, alarm, found, passed)
        self.complete()
        state = self._parts.state.model_copy(update={"random": found.contents.state.random})
        self._parts.saver.went_back(replace(found.contents, state=state))
        self._ctx.reporter.phase("training")
        return True

    def _restore(self, found: Snapshot, alarm: str) -> int:
        """Put everything back; how many positions of the data are passed over by it."""
        parts, how = self._parts, self._parts.spec.rollback
        now, then = parts.state, found.contents.state
        checkpoint.put_back(found.contents, parts.model, parts.optimizer)
        parts.state = course.rolled_back(
            now, then, alarm, lr_divisor=how.lr_divisor, rewarm_steps=how.rewarm_steps
        )
        # Now, for whoever saves before the next step; and again once its window was fetched.
        random_state.restore(then.random, found.contents.generators)
        parts.generators = found.contents.generators
        if parts.scaler and then.scaler:
            parts.scaler.load_state_dict(then.scaler)
        self._watch.went_back(then.detectors, then.step)
        return now.consumed_samples - then.consumed_samples

    def _say(self, at_step: int, alarm: str, found: Snapshot, passed: int) -> None:
        state, how = self._parts.state, self._parts.spec.rollback
        scale = course.lr_scale(state)
        self._ctx.reporter.emit(
            RolledBack(
                step=at_step,
                to_step=state.step,
                alarm=alarm,
                lr_scale=scale,
                skipped_samples=passed,
                rewarm_steps=how.rewarm_steps,
                attempt=len(state.rollbacks),
                max_attempts=how.max_rollbacks,
                source=found.source,
            )
        )
        if alarm != BY_USER:
            self._ctx.reporter.emit(AlarmCleared(alarm=alarm, step=state.step))
        rate = course.learning_rate(state, self._parts.schedule)
        self._ctx.reporter.emit(
            LearningRateChanged(
                step=state.step, lr_scale=scale, learning_rate=rate, reason="rollback"
            )
        )

    def _keep(self) -> None:
        parts = self._parts
        self.complete()
        self._snapshots.keep(checkpoint.collect(parts.model, parts.optimizer, parts.state))

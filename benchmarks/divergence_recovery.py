"""Toy runs under the guard: the same decisions as in the training worker, in a loop of 60 lines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from divergence_toy import WARMUP_SHARE, ToyRun, ToySpec

from core.divergence import (
    Decision,
    Detectors,
    DetectorSettings,
    PolicySettings,
    Rollback,
    decide,
)
from core.divergence.policy import lr_share, surviving_snapshots
from core.protocol.events import AlarmRaised, TrainStep

SNAPSHOT_STEPS = 25
SNAPSHOTS = 4


@dataclass
class Guarded:
    """One run with `guard=rollback`."""

    spec: ToySpec
    run: ToyRun = field(init=False)
    rollbacks: list[Rollback] = field(default_factory=list)
    paused: str = ""
    """Why the run ended early, asking."""
    alarms: list[AlarmRaised] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run = ToyRun(self.spec, skip_non_finite=True)
        warmup = int(WARMUP_SHARE * self.spec.steps)
        self.detectors = Detectors(DetectorSettings(warmup_steps=warmup, vocabulary=64))
        self.snapshots: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.since_rollback = 10**9

    def train(self) -> float:
        """Train to the end or to a pause; the loss on held-out text."""
        self._keep()
        while self.run.step < self.spec.steps and not self.paused:
            self._step()
        return self.run.held_out_loss()

    def _step(self) -> None:
        numbers = self.run.advance(lr_share(self.since_rollback))
        self.since_rollback += 1
        event = TrainStep(
            step=self.run.step,
            loss=numbers.loss,
            grad_norm=numbers.grad_norm,
            learning_rate=numbers.learning_rate,
            target_tokens=numbers.target_tokens,
            update_skipped=numbers.skipped,
        )
        raised = [a for a in self.detectors.observe(event) if isinstance(a, AlarmRaised)]
        self.alarms += raised
        decision = decide(
            raised,
            "rollback",
            rollbacks=self.rollbacks,
            snapshots=list(self.snapshots),
            first_suspect_step=self.detectors.first_suspect_step,
            settings=PolicySettings(),
        )
        if decision is not None:
            self._obey(decision)
        if self.run.step % SNAPSHOT_STEPS == 0 and not self.detectors.suspicious:
            self._keep()

    def _obey(self, decision: Decision) -> None:
        if decision.action == "pause":
            self.paused = f"{decision.alarm}: {decision.reason}"
        if decision.action != "rollback" or decision.to_step is None:
            return
        to_step = decision.to_step
        model, state = self.snapshots[to_step]
        self.run.restore(model)  # the data goes on from where it is: the guilty window is skipped
        self.detectors.restore(state)
        self.detectors.after_rollback(to_step)
        self.run.lr_scale *= decision.lr_factor
        self.since_rollback = 0
        alive = surviving_snapshots(self.snapshots, to_step)
        self.snapshots = {s: self.snapshots[s] for s in alive}
        self.rollbacks.append(Rollback(decision.alarm, decision.at_step, to_step))

    def _keep(self) -> None:
        self.snapshots[self.run.step] = (self.run.snapshot(), self.detectors.state())
        for step in sorted(self.snapshots)[:-SNAPSHOTS]:
            del self.snapshots[step]


@dataclass(frozen=True)
class Recovery:
    """What the guard made of one run."""

    kind: str
    seed: int
    without: float
    """Held-out loss of the unguarded run; may be NaN."""
    guarded: float
    clean: float
    rollbacks: int
    paused: str

    @property
    def gap(self) -> float:
        """Nats behind the clean run of the same seed and steps."""
        return self.guarded - self.clean if math.isfinite(self.guarded) else math.inf


def recover(spec: ToySpec) -> Recovery:
    """The run without fault, with it, and with it under the guard."""
    guarded = Guarded(spec)
    loss = guarded.train()
    return Recovery(
        spec.kind,
        spec.seed,
        plain_loss(spec),
        loss,
        plain_loss(ToySpec("clean", spec.seed, spec.steps)),
        len(guarded.rollbacks),
        guarded.paused,
    )


@cache
def plain_loss(spec: ToySpec) -> float:
    """Held-out loss of an unguarded run."""
    run = ToyRun(spec)
    for _ in range(spec.steps):
        run.advance()
    return run.held_out_loss()

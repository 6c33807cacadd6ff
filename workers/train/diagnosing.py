"""Gathers what `core.divergence.diagnosis` asks for: the last steps, and numbers of samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from core.divergence.diagnosis import DataNumbers, DiagnosisInput, diagnose
from core.protocol.events import AlarmRaised, Finding, TrainStep
from core.runlog.evidence import EvidenceSample
from workers.train.encoding import Encoded
from workers.train.feed import Fed
from workers.train.parts import Parts

REMEMBERED_STEPS = 128
LEAD_STEPS = 10
"""A sustained trouble is seen in a running mean, which lags: gradients are looked at from so many
steps before it on, as snapshots are only trusted from before them (`PolicySettings.margin_steps`).
"""
MAX_SAMPLES = 256
"""Of the run so far, that the guilty ones are compared with."""


@dataclass(frozen=True)
class Seen:
    """One step as it was."""

    step: int
    loss: float
    grad_norm: float
    samples: tuple[int, ...]


class History:
    """The last steps of one run; a rollback takes those of the left branch out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: deque[Seen] = deque(maxlen=REMEMBERED_STEPS)

    def remember(self, event: TrainStep, fed: Fed) -> None:
        """Take note of a step; a handful of numbers."""
        if self._seen and event.step <= self._seen[-1].step:  # the run went back
            self._seen = deque((s for s in self._seen if s.step < event.step), REMEMBERED_STEPS)
        self._seen.append(Seen(event.step, event.loss, event.grad_norm, fed.window.samples))

    def since(self, step: int) -> list[Seen]:
        """The steps from `step` on, oldest first."""
        return [seen for seen in self._seen if seen.step >= step]

    def diagnose(
        self,
        alarm: AlarmRaised,
        event: TrainStep,
        suspects: Sequence[int],
        weighed: Sequence[EvidenceSample],
    ) -> list[Finding]:
        """What may have caused `alarm`, by the guide's order of looking."""
        spec, began = self._parts.spec, began_at(alarm)
        before = [s for s in self._seen if s.step < began]
        first = began - LEAD_STEPS if began < alarm.step else began
        usual = islice(chain.from_iterable(s.samples for s in reversed(before)), MAX_SAMPLES)
        known = DiagnosisInput(
            alarm=alarm.alarm,
            step=alarm.step,
            norms_before=[s.grad_norm for s in self._seen if s.step < first],
            norms_lately=[s.grad_norm for s in self.since(first)],
            guilty=self._numbers(suspects[:MAX_SAMPLES]),
            usual=self._numbers(usual),
            sample_losses=[(s.sample, s.loss) for s in weighed if s.loss is not None],
            learning_rate=event.learning_rate,
            peak_learning_rate=self._parts.schedule.peak,
            warmup_steps=self._parts.schedule.warmup_steps,
            max_grad_norm=spec.max_grad_norm,
        )
        return list(diagnose(known))

    def _numbers(self, samples: Iterable[int]) -> DataNumbers:
        rows = [self._parts.data.train[number] for number in samples]
        return DataNumbers(
            lengths_tokens=[len(row) for row in rows],
            trained_shares=[row.target_tokens / len(row) for row in rows],
            repeated_shares=[_repeated(row) for row in rows],
        )


def began_at(alarm: AlarmRaised) -> int:
    """Where the trouble began: a sustained one names that step, others are of their own."""
    return int(alarm.detail) if alarm.detail.isdigit() else alarm.step


def _repeated(row: Encoded) -> float:
    _, counts = np.unique(row.ids, return_counts=True)
    return float(counts.max() / len(row))

"""Which samples did it: the window behind an alarm, each sample with its loss and its text.

The losses are computed again, one sample at a time, without gradients, with the weights of that
moment. That costs about a third of a step for a window (a forward pass of what a step passes
forward and backward), at most `BUDGET_S`, and not for every step of a burst.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from core.divergence import codes
from core.errors import AppError
from core.protocol.events import AlarmRaised, Finding, TrainStep
from core.runlog.evidence import (
    MAX_CHARS,
    MAX_SAMPLES,
    BatchEvidence,
    EvidencePiece,
    EvidenceSample,
    write_evidence,
)
from workers.harness.context import WorkerContext
from workers.train.diagnosing import History, began_at
from workers.train.encoding import Encoded
from workers.train.feed import Fed
from workers.train.parts import Parts

log = logging.getLogger(__name__)

BUDGET_S = 10.0
APART_STEPS = 10
"""Evidence of two notes or warnings is at least so many steps apart."""
MAX_FILES = 200
LOOK_BACK_STEPS = 10
"""A rise of the mean loss is seen up to so many steps after the batch that began it."""

OF_A_STEP = frozenset(
    {
        codes.NON_FINITE, codes.NON_FINITE_REPEATED, codes.GRAD_NORM_HIGH, codes.GRAD_NORM_SPIKE,
        codes.LOSS_SPIKE, codes.LOSS_ZERO_OR_CONSTANT, codes.FEW_TRAINED_TOKENS,
    }
)  # fmt: skip
"""Alarms whose cause is in the window of their own step."""
OF_A_STRETCH = frozenset({codes.DIVERGING, codes.LEVEL_SHIFT, codes.NOT_LEARNING})
"""Alarms whose cause is somewhere in the steps before."""


@dataclass(frozen=True)
class Explanation:
    """What was found about an alarm."""

    file: str = ""
    """With the batch behind it, relative to the run folder; empty when there is none."""
    diagnosis: list[Finding] = field(default_factory=list)


class Evidence:
    """Remembers the last windows of one run and looks into them when an alarm is raised."""

    def __init__(self, ctx: WorkerContext, parts: Parts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._history = History(parts)
        self._last: tuple[int, Explanation] = (-APART_STEPS, Explanation())
        self._files = 0

    def remember(self, event: TrainStep, fed: Fed) -> None:
        """Take note of a step."""
        self._history.remember(event, fed)

    def of(self, alarm: AlarmRaised, event: TrainStep) -> Explanation:
        """What is behind `alarm`. Never raises."""
        if alarm.alarm not in OF_A_STEP | OF_A_STRETCH:
            return Explanation()
        try:
            return self._look(alarm, event)
        except Exception:
            # Evidence is a help, never a reason to end a run that is in trouble already.
            log.exception("no evidence for %s at step %d", alarm.alarm, event.step)
            return Explanation()

    def _look(self, alarm: AlarmRaised, event: TrainStep) -> Explanation:
        suspects = list(dict.fromkeys(self._suspects(alarm)))
        last_step, last = self._last
        near = 0 <= event.step - last_step < APART_STEPS
        if self._files >= MAX_FILES or (near and alarm.severity != "error"):
            file = last.file if event.step == last_step else ""
            return Explanation(file, self._history.diagnose(alarm, event, suspects, ()))
        weighed = self._weighed(suspects[:MAX_SAMPLES])
        found = Explanation(
            self._write(alarm, event, weighed, len(suspects) - len(weighed)),
            self._history.diagnose(alarm, event, suspects, weighed),
        )
        self._last = (event.step, found)
        self._files += 1
        return found

    def _write(
        self, alarm: AlarmRaised, event: TrainStep, weighed: list[EvidenceSample], left_out: int
    ) -> str:
        if not self._ctx.team.is_main:
            return ""
        evidence = BatchEvidence(
            step=alarm.step,
            alarm=alarm.alarm,
            epoch=event.epoch,
            learning_rate=event.learning_rate,
            loss=event.loss,
            grad_norm=event.grad_norm,
            samples=sorted(weighed, key=_by_loss, reverse=True),
            left_out=left_out,
        )
        try:
            return write_evidence(self._ctx.run.path, evidence)
        except AppError as e:
            log.error("no evidence for %s at step %d: %s", alarm.alarm, event.step, e)
            return ""

    def _suspects(self, alarm: AlarmRaised) -> Iterator[int]:
        """Samples of the alarm's step, or of those around where the trouble began, worst first."""
        back = 0 if alarm.alarm in OF_A_STEP else LOOK_BACK_STEPS
        began = alarm.step if alarm.alarm in OF_A_STEP else began_at(alarm)
        stretch = self._history.since(began - back)
        for seen in sorted(stretch, key=lambda s: _order(s.loss), reverse=True):
            yield from seen.samples

    def _weighed(self, numbers: list[int]) -> list[EvidenceSample]:
        evaluator, until = self._parts.evaluator, time.monotonic() + BUDGET_S
        found: list[EvidenceSample] = []
        with evaluator.quiet():
            for number in numbers:
                # Where all processes must make every forward pass together, no clock may decide.
                if time.monotonic() > until and not self._ctx.team.in_step:
                    break
                encoded = self._parts.data.train[number]
                found.append(self._sample(number, encoded, evaluator.mean_loss(encoded)))
        return found

    def _sample(self, number: int, encoded: Encoded, loss: float) -> EvidenceSample:
        file, line = self._parts.data.train.source(number)
        pieces, cut = _cut(list(_pieces(encoded, self._parts.tokenizer)))
        return EvidenceSample(
            sample=number,
            file=str(file),
            line=line,
            tokens=len(encoded),
            target_tokens=encoded.target_tokens,
            loss=loss,
            pieces=pieces,
            cut_chars=cut,
        )


def _pieces(encoded: Encoded, tokenizer: Any) -> Iterator[EvidencePiece]:
    at = 0
    for trained, run in groupby(encoded.trained.tolist()):
        size = len(list(run))
        yield EvidencePiece(text=tokenizer.decode(encoded.ids[at : at + size]), trained=trained)
        at += size


def _cut(pieces: list[EvidencePiece]) -> tuple[list[EvidencePiece], int]:
    kept: list[EvidencePiece] = []
    room = MAX_CHARS
    for piece in pieces:
        if room > 0:
            kept.append(EvidencePiece(text=piece.text[:room], trained=piece.trained))
        room -= len(piece.text)
    return kept, max(0, -room)


def _by_loss(sample: EvidenceSample) -> float:
    return _order(sample.loss if sample.loss is not None else -math.inf)


def _order(loss: float) -> float:
    """What is no number is worse than any."""
    return loss if math.isfinite(loss) else math.inf

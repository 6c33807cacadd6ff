"""Which samples did it: the window behind an alarm, each sample with its loss and its text.

The losses are computed again, one sample at a time, without gradients, with the weights of that
moment. That costs about a third of a step for a window (a forward pass of what a step passes
forward and backward), at most `BUDGET_S`, and not for every step of a burst.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from core.divergence import codes
from core.errors import AppError
from core.protocol.events import AlarmRaised, TrainStep
from core.runlog.evidence import (
    MAX_CHARS,
    MAX_SAMPLES,
    BatchEvidence,
    EvidencePiece,
    EvidenceSample,
    write_evidence,
)
from workers.harness.context import WorkerContext
from workers.train.encoding import Encoded
from workers.train.feed import Fed
from workers.train.parts import Parts

log = logging.getLogger(__name__)

BUDGET_S = 10.0
APART_STEPS = 10
"""Evidence of two notes or warnings is at least so many steps apart."""
MAX_FILES = 200
REMEMBERED_STEPS = 32
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
class _Seen:
    step: int
    loss: float
    samples: tuple[int, ...]


class Evidence:
    """Remembers the last windows of one run and looks into them when an alarm is raised."""

    def __init__(self, ctx: WorkerContext, parts: Parts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._seen: deque[_Seen] = deque(maxlen=REMEMBERED_STEPS)
        self._last: tuple[int, str] = (-APART_STEPS, "")
        self._files = 0

    def remember(self, event: TrainStep, fed: Fed) -> None:
        """Take note of a step; a handful of numbers."""
        self._seen.append(_Seen(event.step, event.loss, fed.window.samples))

    def of(self, alarm: AlarmRaised, event: TrainStep) -> str:
        """The file with the batch behind `alarm`; empty when it has none. Never raises."""
        if alarm.alarm not in OF_A_STEP | OF_A_STRETCH or self._files >= MAX_FILES:
            return ""
        last_step, last_file = self._last
        if 0 <= event.step - last_step < APART_STEPS and alarm.severity != "error":
            return last_file if event.step == last_step else ""
        try:
            name = self._write(alarm, event)
        except Exception:
            # Evidence is a help, never a reason to end a run that is in trouble already.
            log.exception("no evidence for %s at step %d", alarm.alarm, event.step)
            return ""
        self._last = (event.step, name)
        self._files += 1
        return name

    def _write(self, alarm: AlarmRaised, event: TrainStep) -> str:
        suspects = list(dict.fromkeys(self._suspects(alarm)))
        samples = self._weighed(suspects[:MAX_SAMPLES])
        evidence = BatchEvidence(
            step=alarm.step,
            alarm=alarm.alarm,
            epoch=event.epoch,
            learning_rate=event.learning_rate,
            loss=event.loss,
            grad_norm=event.grad_norm,
            samples=sorted(samples, key=_by_loss, reverse=True),
            left_out=len(suspects) - len(samples),
        )
        if not self._ctx.team.is_main:
            return ""
        try:
            return write_evidence(self._ctx.run.path, evidence)
        except AppError as e:
            log.error("no evidence for %s at step %d: %s", alarm.alarm, event.step, e)
            return ""

    def _suspects(self, alarm: AlarmRaised) -> Iterator[int]:
        """Samples of the alarm's step, or of those around where the trouble began, worst first."""
        if alarm.alarm in OF_A_STEP:
            yield from self._seen[-1].samples
            return
        since = int(alarm.detail) if alarm.detail.isdigit() else alarm.step
        stretch = [s for s in self._seen if s.step >= since - LOOK_BACK_STEPS]
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

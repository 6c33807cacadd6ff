"""Runs that do not learn, learn nothing, or learn the training data by heart.

Zero loss is the field's silent bug: one NaN hidden by the log, or a template that masks every
token, and the curve shows 0.0 for ever. A loss that is the same to the last bit five times means
that the weights or the data do not reach it. A loss of ln(vocabulary) is a guess (ln 102400 = 11.5
for DeepSeek-LLM, ln 129280 = 11.8 for V3): the template, the tokenizer or the weights are wrong.
"""

from __future__ import annotations

import itertools
import math

from core.divergence import codes
from core.divergence.kept import Kept
from core.divergence.level import LossLevel
from core.divergence.numbers import raised
from core.divergence.settings import DetectorSettings
from core.protocol.events import AlarmCleared, AlarmRaised, EvalDone, TrainStep


class NotLearning(Kept):
    """`not_learning`: the loss has not fallen, or is at chance; cleared when it falls."""

    KEPT = ("learned", "active")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.learned = False
        """It fell once: what comes later is another detector's business."""
        self.active = False

    def observe(self, step: TrainStep, level: LossLevel) -> list[AlarmRaised | AlarmCleared]:
        """Call after `level` took the step's loss."""
        if self.learned or level.first is None:
            return []
        limit = level.first - max(self._settings.learning_min_nats, level.mean_sigma)
        chance = self._chance()
        self.learned = level.mean < min(limit, chance)
        if self.learned:
            was, self.active = self.active, False
            return [AlarmCleared(alarm=codes.NOT_LEARNING, step=step.step)] if was else []
        guesses = level.mean >= chance and step.step > self._earliest()
        due = step.step > self._settings.warmup_steps + self._settings.learning_grace_steps
        if self.active or not (guesses or due):
            return []
        self.active = True
        what, bound = ("chance", chance) if guesses else ("flat", limit)
        return [raised(codes.NOT_LEARNING, "warning", step.step, level.mean, bound, what)]

    def _chance(self) -> float:
        rows = self._settings.vocabulary
        return self._settings.chance_share * math.log(rows) if rows and rows > 1 else math.inf

    def _earliest(self) -> int:
        return max(self._settings.level_min_steps, self._settings.warmup_steps)


class Degenerate(Kept):
    """`loss_zero_or_constant` and `few_trained_tokens`, within the first five steps."""

    KEPT = ("last_loss", "same", "zero_loss", "zero_norm", "few", "active")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.last_loss: float | None = None
        self.same = 0
        self.zero_loss = 0
        self.zero_norm = 0
        self.few = 0
        self.active: list[str] = []

    def observe(self, step: TrainStep) -> list[AlarmRaised]:
        """What is wrong with the numbers of this step and the ones before it."""
        if not (math.isfinite(step.loss) and math.isfinite(step.grad_norm)):
            return []
        self._count(step)
        found = self._found(step)
        new = [a for a in found if a.detail not in self.active]
        self.active = [a.detail for a in found]
        return new

    def _count(self, step: TrainStep) -> None:
        s = self._settings
        self.same = self.same + 1 if step.loss == self.last_loss else 1
        self.last_loss = step.loss
        self.zero_loss = self.zero_loss + 1 if step.loss < s.zero_loss else 0
        self.zero_norm = self.zero_norm + 1 if step.grad_norm == 0.0 else 0
        self.few = self.few + 1 if self._few(step) else 0

    def _few(self, step: TrainStep) -> bool:
        share = step.trained_share
        little = 0 < step.target_tokens < self._settings.min_target_tokens
        return little or (share is not None and share < self._settings.min_trained_share)

    def _found(self, step: TrainStep) -> list[AlarmRaised]:
        s, zero = self._settings, codes.LOSS_ZERO_OR_CONSTANT
        found = []
        if self.zero_loss >= s.degenerate_steps:
            found.append(raised(zero, "error", step.step, step.loss, s.zero_loss, "zero"))
        elif self.same >= s.constant_steps:
            found.append(raised(zero, "error", step.step, step.loss, self.same, "constant"))
        if self.zero_norm >= s.degenerate_steps:
            found.append(raised(zero, "error", step.step, 0.0, 0.0, "no_gradient"))
        if self.few >= s.degenerate_steps:
            few, least = codes.FEW_TRAINED_TOKENS, s.min_target_tokens
            found.append(raised(few, "warning", step.step, step.target_tokens, least, "few"))
        return found


class OverFit(Kept):
    """`overfit`: the evaluation loss rises three times in a row while the training loss falls.

    The alarm's threshold is the lowest loss and its detail the step of it: the checkpoint to keep.
    """

    KEPT = ("history", "active")

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self.history: dict[str, list[list[float]]] = {}
        """By split: [step, evaluation loss, training level]."""
        self.active: dict[str, bool] = {}

    def observe(self, done: EvalDone, level: LossLevel) -> list[AlarmRaised | AlarmCleared]:
        """Take one evaluation."""
        if not math.isfinite(done.loss):
            return []
        past = [p for p in self.history.get(done.split, []) if p[0] < done.step]
        past.append([done.step, done.loss, level.mean])  # 0 before the first step: nothing fell
        best = min(past, key=lambda p: p[1])
        self.history[done.split] = [best] * (best not in past[-8:]) + past[-8:]
        return self._judge(done, past, best)

    def after_rollback(self, step: int) -> None:
        """Forget evaluations of the branch that was left."""
        for split, past in self.history.items():
            self.history[split] = [p for p in past if p[0] <= step]
        self.active = {}

    def _judge(
        self, done: EvalDone, past: list[list[float]], best: list[float]
    ) -> list[AlarmRaised | AlarmCleared]:
        rises = self._rises(past)
        was = self.active.get(done.split, False)
        if was and done.loss <= best[1]:
            self.active[done.split] = False
            return [AlarmCleared(alarm=codes.OVERFIT, step=done.step)]
        if was or not rises:
            return []
        self.active[done.split] = True
        where = f"{best[0]:.0f}"
        return [raised(codes.OVERFIT, "warning", done.step, done.loss, best[1], where)]

    def _rises(self, past: list[list[float]]) -> bool:
        count = self._settings.overfit_rises
        if len(past) <= count:
            return False
        last = past[-count - 1 :]
        up = all(b[1] > a[1] for a, b in itertools.pairwise(last))
        return (
            up
            and last[-1][1] - last[0][1] > self._settings.overfit_nats
            and last[-1][2] < last[0][2]
        )
